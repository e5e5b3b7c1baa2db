"""What an operator has to do when packages cannot be installed, by what uv says about it.

Each pattern was seen: tests/test_wheels.py makes the failures.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
INDEX: Final = "UV_DEFAULT_INDEX"

_REMEDIES: Final = (  # the first that is found counts; {proxy} says which variables are set
    (
        r"No space left on device|[Qq]uota exceeded",
        (
            "Free space there (`df -h` and `df -i` show what is full), or set XDG_CACHE_HOME, and UV_CACHE_DIR "
            "for what uv downloads, to a folder with room."
        ),
    ),
    (
        r"Too many open files",
        "Raise the limit of open files (`ulimit -n`, LimitNOFILE of a systemd unit).",
    ),
    (
        r"(?:Permission denied|Read-only file system|Not a directory|Operation not permitted) \(os error",
        (
            "Make that folder one that the user who runs Airlock may write to, or set XDG_CACHE_HOME, and "
            "UV_CACHE_DIR for what uv downloads, to one that is."
        ),
    ),
    (
        r"network was disabled",
        "UV_OFFLINE is set where Airlock is started: unset it, or fill uv's cache before.",
    ),
    (
        r"proxy authorization required|407 Proxy Authentication",
        (
            "The proxy wants a name and a password: write them into the variable, like "
            "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT. {proxy}"
        ),
    ),
    (
        r"invalid peer certificate|UnknownIssuer|certificate",
        (
            "The certificate of the package index, or of a proxy in between, is not trusted here: set SSL_CERT_FILE to "
            "the file with your authority's certificate, or UV_SYSTEM_CERTS=1 to trust what this machine trusts; an "
            "expired one may also mean that this machine's clock is wrong."
        ),
    ),
    (
        r"tunnel error",
        "The proxy does not let the connection through, or is not there: correct the variable, or unset it. {proxy}",
    ),
    (
        r"InvalidContentType",
        f"Something there speaks no HTTPS: write http:// in the index's address ({INDEX}) or the proxy's. {{proxy}}",
    ),
    (
        r"dns error|failed to lookup address",
        (
            "This machine cannot find that name: correct the index's address "
            f"({INDEX}), or the name servers in /etc/resolv.conf; behind a proxy set HTTPS_PROXY. {{proxy}}"
        ),
    ),
    (
        r"401 Unauthorized|403 Forbidden|authentication credentials",
        (
            f"The package index wants other credentials: write them into its address ({INDEX}=https://NAME:PASSWORD@HOST/...)"
            " or into ~/.netrc."
        ),
    ),
    (
        r"HTTP status server error",
        f"The package index has a fault of its own; set {INDEX} to use another one. Airlock tries again.",
    ),
    (
        r"timed out|error sending request|Connection refused|Network is unreachable|Failed to fetch",
        (
            f"The package index cannot be reached from here: look at the network and the firewall; behind a proxy set "
            f"HTTPS_PROXY, and {INDEX} for an index of your own. Airlock tries again. {{proxy}}"
        ),
    ),
    (
        r"no usable wheels|building from source is disabled|no wheels with a matching",
        (
            "Only wheels are installed, nothing is built: take a version that has one for this Python, or put one that "
            f"you built into an index of your own ({INDEX})."
        ),
    ),
)
_OTHER: Final = "Correct `packages`, or what this says; only wheels are installed, nothing is built."


def remedy(said: str, environ: Mapping[str, str] = os.environ) -> str:
    """Say what to do about what uv said. Names variables, never their values: a proxy's may have a password."""
    found = (text for pattern, text in _REMEDIES if re.search(pattern, said))
    return next(found, _OTHER).format(proxy=_proxy(environ)).strip()


def _proxy(environ: Mapping[str, str]) -> str:
    names = [name for name in (*PROXIES, *map(str.lower, PROXIES)) if environ.get(name)]
    return f"Set here: {', '.join(names)}." if names else "No proxy variable is set here."
