"""Who may talk to this server.

With a key (`AIRLOCK_API_KEY`), whoever sends it. Without one, and with a project that runs code, only programs on this
machine, and no web page in a browser on this machine: a page may send requests to loopback under a foreign Origin, or
under a foreign Host whose name was made to resolve to loopback (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from .errors import ConfigError
from .problems import ProblemResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from .config import Config

OPEN_PATHS = frozenset({"/health"})
_REMEDY = "set AIRLOCK_API_KEY on the server and send it as 'Authorization: Bearer ...'"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What a request needs. `key` is never shown, not even by repr."""

    key: str | None = field(repr=False)
    local_only: bool

    @classmethod
    def of(cls, config: Config, environ: Mapping[str, str]) -> AccessPolicy:
        """Derive the policy.

        Raises ConfigError when AIRLOCK_API_KEY is set but useless.
        """
        key = environ.get("AIRLOCK_API_KEY")
        if key is not None and (not key.strip() or not key.isascii() or not key.isprintable()):
            raise ConfigError(["AIRLOCK_API_KEY: must be printable ASCII and not empty; unset it to run without a key"])
        return cls(key=key, local_only=key is None and config.runs_code and not config.server.insecure)

    @property
    def default_host(self) -> str:
        """Where to listen when the operator does not say."""
        return "127.0.0.1" if self.local_only else "0.0.0.0"  # noqa: S104 - the documented default, with nothing to protect

    def check_bind(self, host: str) -> None:
        """Raise ConfigError when listening on `host` would let strangers run code."""
        if self.local_only and not is_local(host):
            remedy = "set AIRLOCK_API_KEY, listen on 127.0.0.1, or write 'insecure: true' under server: in airlock.yaml"
            raise ConfigError([f"refusing to listen on {host}: a project runs code and no key is set; {remedy}"])

    def refusal(self, scope: Scope) -> ProblemResponse | None:
        """Return what to answer instead, or None when the request may pass."""
        headers = Headers(scope=scope)
        if self.key is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.key.encode()):
                return None
            return ProblemResponse(
                401, "unauthorized", "A key is needed", _REMEDY, headers={"WWW-Authenticate": "Bearer"}
            )
        if self.local_only and _is_real_socket(scope):
            client = scope.get("client")
            if client is not None and not is_local(client[0]):
                return ProblemResponse(403, "not_local", "Only for programs on this machine", _REMEDY)
            for name, host in (("Host", _host(headers.get("host"))), ("Origin", _origin_host(headers.get("origin")))):
                if host is not None and not is_local(host):
                    detail = f"{name} is not local, and no key is set; {_REMEDY}"
                    return ProblemResponse(403, "not_local", "Only for programs on this machine", detail)
        return None


class AccessMiddleware:
    """Asks the policy about every request, before its body is read."""

    def __init__(self, app: ASGIApp, policy: Callable[[], Awaitable[AccessPolicy]]) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            refusal = (await self._policy()).refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_local(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_real_socket(scope: Scope) -> bool:
    """Tell a TCP connection from a test client, which gives a name here, and from a UNIX socket, which gives a path."""
    server = scope.get("server")
    try:
        return server is not None and bool(ipaddress.ip_address(server[0]))
    except ValueError:
        return False


def _host(value: str | None) -> str:
    try:
        return urlsplit(f"//{value or ''}").hostname or ""
    except ValueError:
        return ""


def _origin_host(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return urlsplit(value).hostname or ""  # "null", what sandboxed frames and files send, is not local
    except ValueError:
        return ""
