"""What surrounds every request but access control, which is in access.py: headers of each response, and HEAD."""

from __future__ import annotations

import re
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from airlock.logs import REQUEST_ID

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER: Final = "X-Request-ID"
NO_SNIFF: Final = ("X-Content-Type-Options", "nosniff")
_USABLE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Names every request: in its response, in problems, and in the log lines of what it led to.

    The id is the one that a proxy or client sent, if it is one word, or else a new one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _USABLE.fullmatch(given) else token_hex(16)
        # Never reset: each request has a context of its own, and the handler of faults still needs the id.
        REQUEST_ID.set(request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class NoSniffMiddleware:
    """Tells browsers to take every response for what it says it is: output of a script may look like a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                name, value = NO_SNIFF
                MutableHeaders(scope=message)[name] = value
            await send(message)

        await self._app(scope, receive, send_with_header)


class HeadMiddleware:
    """Answers HEAD wherever there is GET (RFC 9110, section 9.1): like the GET, without the body.

    It also adds HEAD to each `Allow` that has GET. So routes and OpenAPI have each operation once.
    """

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
                await send({"type": "http.response.body"})  # the end: an app that streams sees the client disconnect

        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_head)
