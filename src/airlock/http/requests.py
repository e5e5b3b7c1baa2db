"""Requests whose body must be strict JSON, and not too large, and whose parameters must be known and given once:
whatever else a client sends is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.routing import APIRoute
from starlette.requests import Request

from airlock import strict_json
from airlock.errors import InvalidRequest

from .errors import BodyTooLarge, MalformedBody, TooManyBodies, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from starlette.responses import Response

MAX_BODY: Final = 16 << 20  # bytes of one request
MAX_BODIES: Final = 128 << 20  # bytes of all bodies that come in at once, of each without its first UNCOUNTED
UNCOUNTED: Final = 64 << 10  # bytes; a connection holds as much anyway, so small bodies come through beside large ones
MAX_VALUES: Final = 200_000  # in one body; the event loop parses them, and serves nobody meanwhile


def load(content: bytes) -> Any:
    """Parse a body. Raises ValueError on what is not strict JSON, or too much of it."""
    strict_json.check_count(content, MAX_VALUES)
    return strict_json.loads(content)


class BodyRoom:
    """What the bodies that come in may take of the memory together, until they are parsed."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, size: int) -> None:
        """Take so many bytes, or give them back if it is a negative number. Raises TooManyBodies."""
        if size > 0 and self._taken + size > MAX_BODIES:
            raise TooManyBodies(f"large bodies that come in at once have at most {MAX_BODIES} bytes together")
        self._taken += size


class StrictRequest(Request):
    """A request whose body must be strict JSON, and not too large.

    The framework's own limit on bodies answers in plain text, so it is not used.
    """

    _content: bytes | None = None
    _parsed: Any = None
    _room = 0  # bytes that its body has taken

    async def body(self) -> bytes:
        """Read the body. Raises BodyTooLarge before it is read, or when the header lies, as soon as it is.

        Raises TooManyBodies when there is no room for it beside others.
        """
        if self._content is None:
            announced = self.headers.get("content-length", "")
            if announced.isascii() and announced.isdecimal() and int(announced[:20]) > MAX_BODY:
                raise _too_large()
            content = bytearray()
            async for piece in self.stream():
                content += piece
                if len(content) > MAX_BODY:
                    raise _too_large()
                self._take(max(0, len(content) - UNCOUNTED) - self._room)
            self._content = bytes(content)
        return self._content

    async def parse(self) -> None:
        """Read the body, if there is one. Raises BodyTooLarge, TooManyBodies, UnsupportedMedia or MalformedBody."""
        try:
            self._parse(await self.body())
        finally:
            self._take(-self._room)

    def _parse(self, content: bytes) -> None:
        if not content:
            return
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMedia("send application/json (Content-Type)")
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedMedia("send the body as it is, not compressed (Content-Encoding)")
        try:
            self._parsed = load(content)
        except ValueError as error:
            raise MalformedBody(f"the body is not strict JSON: {error}") from None
        self._content = content[:1]  # the framework asks whether there is one; the rest would stay as long as `?wait=`

    def _take(self, size: int) -> None:
        room: BodyRoom = self.app.state.bodies
        room.take(size)
        self._room += size

    async def json(self) -> Any:
        """Return what `parse` found."""
        return self._parsed


class StrictRoute(APIRoute):
    """A route that takes only strict JSON and, where it can say so, only parameters that it has."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # a coroutine is awaitable
        """Wrap the route's handler."""
        handler = super().get_route_handler()
        queries = {field.alias for field in self.dependant.query_params}
        headers = {field.alias for field in self.dependant.header_params}

        async def strict(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            if InvalidRequest.status in self.responses:
                _check_parameters(request, queries, headers)
            if self.body_field is not None:
                await request.parse()  # here, as the framework takes what its own parsing raises for a 400
            return await handler(request)

        return strict


def _check_parameters(request: Request, queries: Collection[str], headers: Collection[str]) -> None:
    """Refuse what would be ignored: a name that is misspelt, and all but one of several values."""
    for name in request.query_params:
        if name not in queries:
            known = ", ".join(sorted(queries)) or "none here"
            raise InvalidRequest(("query", name), f"there is no such parameter; there is {known}")
        _check_once("query", name, request.query_params.getlist(name))
    for name in headers:
        _check_once("header", name, request.headers.getlist(name))


def _check_once(place: str, name: str, values: Collection[str]) -> None:
    if len(values) > 1:
        raise InvalidRequest((place, name), f"it is given {len(values)} times; give it once")


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"a body has at most {MAX_BODY} bytes")
