"""Requests whose body must be strict JSON, and not too large: whatever else a client sends is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import HTTPException
from fastapi.routing import APIRoute
from starlette.requests import Request

from . import strict_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

MAX_BODY: Final = 16 << 20  # bytes of one request


class StrictRequest(Request):
    """A request whose body must be strict JSON, and not too large.

    The framework's own limit on bodies answers in plain text, so it is not used.
    """

    _content: bytes | None = None

    async def body(self) -> bytes:
        """Read the body. Raises HTTPException 413 as soon as it is too large."""
        if self._content is None:
            content = bytearray()
            async for piece in self.stream():
                content += piece
                if len(content) > MAX_BODY:
                    raise HTTPException(413, f"a body has at most {MAX_BODY} bytes")
            self._content = bytes(content)
        return self._content

    async def json(self) -> Any:
        """Parse the body. Raises HTTPException 400 when it is not strict JSON."""
        try:
            return strict_json.loads(await self.body())
        except ValueError as error:
            raise HTTPException(400, f"the body is not strict JSON: {error}") from None


class StrictRoute(APIRoute):
    """A route that takes only strict JSON, and says so."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is awaitable
        """Wrap the route's handler."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.body_field is not None and media_type != "application/json" and await request.body():
                raise HTTPException(415, "send application/json (Content-Type)")
            return await handler(request)

        return strict
