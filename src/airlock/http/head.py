"""HEAD wherever there is GET (RFC 9110, section 9.1): what a GET would answer, without the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Serves a HEAD as a GET, and says HEAD wherever `Allow` says GET. So OpenAPI has each operation once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def send_head(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            if is_start and message["status"] == 405:
                headers = MutableHeaders(scope=message)
                allowed = set(headers.get("allow", "").split(", "))
                headers["allow"] = ", ".join(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))
            if is_start or not is_head:
                await send(message)
            if is_start and is_head:
                await send({"type": "http.response.body"})  # the end: who would stream sees the client gone

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_head)
