"""HEAD for everything that answers GET, as HTTP asks of servers (RFC 9110, section 9.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Answers HEAD with what GET answers, without its body; and says HEAD wherever `Allow` says GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"
        is_over = False

        async def send_head(message: Message) -> None:
            nonlocal is_over
            if message["type"] == "http.response.start":
                if message["status"] == 405:
                    headers = MutableHeaders(scope=message)
                    allowed = headers.get("allow", "").split(", ")
                    headers["allow"] = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
            elif is_head:
                if is_over:  # a stream, which ends now that its client has got all
                    return
                is_over = True
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_head)
