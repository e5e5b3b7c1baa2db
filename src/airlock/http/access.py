"""Who may talk to this server.

If there are keys (`server.keys`, or `AIRLOCK_API_KEY`, which may do everything), whoever sends one. If there are none
and a project runs code, only programs on this machine, and no web page in a browser on this machine: a page may send
requests to loopback with a foreign Origin, or with a foreign Host whose name resolves to loopback (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from airlock.errors import ConfigError, RequestError
from airlock.gateway import KeyRing
from airlock.plugins import STRANGER, Client

from .errors import NotLocal, Unauthorized
from .hosts import is_local, is_local_authority, is_local_origin
from .problems import ProblemResponse, tell_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from airlock.config import Config

OPEN_PATHS = frozenset({"/health"})
_REMEDY = "set AIRLOCK_API_KEY or server.keys on the server, and send a key as 'Authorization: Bearer ...'"
_ADDRESS = "on the server's own machine, use http://127.0.0.1 or http://localhost with its port"
_NONE = "send a key that this server knows, as 'Authorization: Bearer ...'"
_UNKNOWN = (
    "unknown key: send one that was in server.keys or AIRLOCK_API_KEY when the server started, "
    "as 'Authorization: Bearer ...'"
)


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What a request needs to be served."""

    keys: KeyRing
    local_only: bool

    @classmethod
    def of(cls, config: Config, environ: Mapping[str, str]) -> AccessPolicy:
        """Derive the policy.

        Raises ConfigError when AIRLOCK_API_KEY is set but useless.
        """
        key = environ.get("AIRLOCK_API_KEY")
        if key is not None and (not key.strip() or not key.isascii() or not key.isprintable()):
            raise ConfigError(["AIRLOCK_API_KEY: must be printable ASCII and not empty; unset it to run without a key"])
        keys = KeyRing.of(config.server.keys, key)
        return cls(keys=keys, local_only=not keys and config.runs_code and not config.server.insecure)

    @property
    def default_host(self) -> str:
        """Where to listen if the operator does not say."""
        return "127.0.0.1" if self.local_only else "0.0.0.0"  # noqa: S104 - the documented default when there is nothing to protect

    def check_bind(self, host: str) -> None:
        """Raise ConfigError if strangers could run code when the server listens on `host`."""
        if self.local_only and not is_local(host):
            remedy = (
                "set AIRLOCK_API_KEY or server.keys ('airlock keys new NAME'), listen on 127.0.0.1, "
                "or write 'insecure: true' under server: in airlock.yaml"
            )
            raise ConfigError([f"refusing to listen on {host}: a project runs code and no key is set; {remedy}"])

    def admit(self, scope: Scope) -> Client:
        """Return the client that sent a request. Raises Unauthorized or NotLocal to refuse it."""
        headers = Headers(scope=scope)
        if self.keys:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            client = self.keys.client(given.strip()) if scheme.lower() == "bearer" else None
            if client is None:
                is_key = scheme.lower() == "bearer" and given.strip()
                raise Unauthorized(_UNKNOWN if is_key else _NONE)
            return client
        if self.local_only and _is_real_socket(scope):
            _check_local(scope, headers)
        return Client()


class AccessMiddleware:
    """Asks the policy about every request before its body is read. Routes find the client in `request.state`."""

    def __init__(
        self, app: ASGIApp, policy: Callable[[], Awaitable[AccessPolicy]], is_public: Callable[[str], bool]
    ) -> None:
        """`is_public` says which paths are served to anybody; whoever would be refused is a `STRANGER` there."""
        self._app = app
        self._policy = policy
        self._is_public = is_public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            policy = await self._policy()
            try:
                client = policy.admit(scope)
            except RequestError as error:
                if not self._is_public(scope["path"]):
                    tell_refusal(scope, error.code)
                    await ProblemResponse.of(error)(scope, receive, send)
                    return
                client = STRANGER
            scope.setdefault("state", {})["client"] = client
        await self._app(scope, receive, send)


def _check_local(scope: Scope, headers: Headers) -> None:
    client = scope.get("client")
    if client is not None and not is_local(client[0]):
        raise NotLocal(_REMEDY)
    # If a header is sent several times, every one counts: programs differ in which of them they believe.
    if not all(is_local_authority(value) for value in headers.getlist("host") or [""]):
        raise NotLocal(f"Host is not local, and no key is set; {_ADDRESS}, or {_REMEDY}")
    # X-Forwarded-For needs no check: if a proxy on this machine sent it, `client` is the address in it.
    if "forwarded" in headers or "via" in headers or not all(is_local(ip) for ip in headers.getlist("x-real-ip")):
        raise NotLocal(f"a proxy forwarded it, and no key is set; {_REMEDY}")
    if not all(is_local_origin(value) for value in headers.getlist("origin")):
        raise NotLocal(f"Origin is not local, and no key is set; {_REMEDY}")
    if headers.get("sec-fetch-site") == "cross-site" and not _is_followed_link(scope, headers):
        raise NotLocal(f"it comes from a foreign web page (Sec-Fetch-Site), and no key is set; {_REMEDY}")


def _is_followed_link(scope: Scope, headers: Headers) -> bool:
    """Recognize a link, for example to /docs, that was followed from another site: that site cannot read the answer."""
    sent = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return scope["method"] == "GET" and sent == ("navigate", "document")


def _is_real_socket(scope: Scope) -> bool:
    """Tell a TCP connection from a test client, which has a name here, and a UNIX socket, which has a path."""
    server = scope.get("server")
    try:
        return server is not None and bool(ipaddress.ip_address(server[0]))
    except ValueError:
        return False
