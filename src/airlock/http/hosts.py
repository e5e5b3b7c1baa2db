"""Which host a request is for, and whether that can only be this machine.

Names are compared and addresses parsed as a whole, never by how they begin or end: `localhost.evil.example`,
`evil.example@127.0.0.1` and `[::1]evil.example` are foreign.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from .errors import NotHttp

if TYPE_CHECKING:
    from collections.abc import Sequence

    Header = tuple[bytes, bytes]

_AUTHORITY: Final = re.compile(  # RFC 3986, section 3.2, without user information, which RFC 9110 forbids in Host
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?P<port>:[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_ONE_HOST: Final = "HTTP/1.1 takes exactly one Host header, a name or an address with an optional port"


def is_local(host: str) -> bool:
    """Tell whether a host name or address, without brackets and port, can only mean this machine.

    Of names that is `localhost` alone: RFC 6761 only recommends to resolvers that `*.localhost` leads here.
    """
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return "%" not in host and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_authority(value: str) -> bool:
    """Tell whether the value of `Host`, a host with an optional port, can only mean this machine."""
    found = _AUTHORITY.fullmatch(value)
    if found is None or (found["port"] and not 0 < int(found["port"][1:] or 0) < 1 << 16):
        return False
    host = found["host"]
    return is_local(host[1:-1]) if host.startswith("[") and ":" in host else is_local(host)


def is_local_origin(value: str) -> bool:
    """Tell whether the value of `Origin` is a page of this machine. Frames in a sandbox and files send `null`."""
    scheme, _, authority = value.partition("://")
    return scheme in ("http", "https") and is_local_authority(authority)


def settled(version: str, target: bytes, headers: Sequence[Header]) -> tuple[bytes, list[Header]]:
    """Check the host of a request (RFC 9112, section 3.2); returns its path with the query, and its headers.

    A target that is a whole URI names the host; then that replaces the header, and whoever reads `Host` reads the one
    that counts. HTTP/1.0 knew no `Host`, so that may lack there.

    Raises NotHttp when there are several hosts, none, or one that is not valid.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version != "1.0") or not all(map(_is_valid, hosts)):
        raise NotHttp(_ONE_HOST)
    if target.startswith(b"/") or target == b"*":
        return target, list(headers)
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not _is_valid(found["authority"]):
        raise NotHttp("the target must be a path, or a URI with http and a valid host")
    rest = found["rest"] if found["rest"].startswith(b"/") else b"/" + found["rest"]
    return rest, [(b"host", found["authority"]), *(header for header in headers if header[0] != b"host")]


def _is_valid(authority: bytes) -> bool:
    return _AUTHORITY.fullmatch(authority.decode("latin-1")) is not None
