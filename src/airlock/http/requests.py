"""From a request to the arguments of an endpoint, in one place. What a client sends is refused unless all of it counts.

Bodies must be strict JSON and not too large; parameters must be known and given once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airlock import strict_json
from airlock.errors import InvalidRequest

from .errors import BodyTooLarge, MalformedBody, TooManyBodies, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic import BaseModel
    from starlette.types import Receive, Scope, Send

MAX_BODY: Final = 16 << 20  # bytes of one request
MAX_BODIES: Final = 128 << 20  # bytes of all bodies that arrive at once, of each without its first UNCOUNTED
UNCOUNTED: Final = 64 << 10  # bytes; a connection holds as much anyway, so small bodies get in while large ones arrive
MAX_VALUES: Final = 200_000  # in one body; the event loop parses them, and serves nobody meanwhile
_MISSING: Final = object()


class StrictRoute(APIRoute):
    """A route that reads its requests itself.

    An endpoint is a coroutine function that returns a model or a response. As usual in FastAPI, its signature declares
    what it takes from the path, the query, headers, a body, and dependencies (coroutine functions of the request). A
    route with parameters declares 422 in its `responses`.

    FastAPI only writes the OpenAPI document from this: its own way from a request to the endpoint took a fifth of the
    server's CPU time for an execution.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises RequestError or RequestValidationError to refuse it."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # answers 405
            return
        found = await self.endpoint(**await self._arguments(scope, receive))
        if not isinstance(found, Response):
            found = answer(found, self.status_code or 200, exclude_none=self.response_model_exclude_none)
        await found(scope, receive, send)

    async def _arguments(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        declared, body_field = self.dependant, self.body_field
        query: dict[str, str] = {}
        if scope["query_string"] and InvalidRequest.status in self.responses:
            query = _query(scope["query_string"], [field.alias for field in declared.query_params])
        every = _headers(scope) if declared.header_params or body_field is not None else {}
        headers = {
            field.alias: _only("header", field.alias, every[field.alias])
            for field in declared.header_params
            if field.alias in every
        }
        body = _MISSING if body_field is None else await _body(receive, every, scope["app"].state.bodies)

        found: dict[str, Any] = {}  # the endpoint's signature has defaults for what is missing
        wrong: list[dict[str, Any]] = []
        for place, fields, sent in (
            ("path", declared.path_params, scope["path_params"]),
            ("query", declared.query_params, query),
            ("header", declared.header_params, headers),
        ):
            for field in fields:
                if field.alias in sent:
                    found[field.name], errors = field.validate(sent[field.alias], loc=(place, field.alias))
                    wrong += errors
        if body_field is not None and body is not _MISSING:
            found[body_field.name], errors = body_field.validate(body, loc=("body",))
            wrong += errors
        elif body_field is not None and body_field.field_info.is_required():
            wrong.append({"type": "missing", "loc": ("body",), "msg": "Field required", "input": None})
        if wrong:
            raise RequestValidationError(wrong)
        for dependency in declared.dependencies:
            assert dependency.name is not None
            assert dependency.call is not None
            found[dependency.name] = await dependency.call(Request(scope))
        return found


def answer(
    model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None, *, exclude_none: bool = False
) -> Response:
    """Return a response that shows a model."""
    content = model.__pydantic_serializer__.to_json(model, exclude_none=exclude_none)
    return Response(content, status, headers, media_type="application/json")


class BodyRoom:
    """The memory that all arriving bodies may take together, until they are parsed."""

    def __init__(self) -> None:
        self._taken = 0

    def take(self, size: int) -> None:
        """Take this many bytes, or give them back if `size` is negative. Raises TooManyBodies."""
        if size > 0 and self._taken + size > MAX_BODIES:
            raise TooManyBodies(f"large bodies that arrive at once may total at most {MAX_BODIES} bytes")
        self._taken += size


def _query(text: bytes, known: Collection[str]) -> dict[str, str]:
    """Parse a query. What would be ignored is refused: a misspelt name, and all but one of several values."""
    query = {}
    for name, values in parse_qs(text.decode("latin-1"), keep_blank_values=True).items():
        if name not in known:
            names = ", ".join(sorted(known)) or "none here"
            raise InvalidRequest(("query", name), f"unknown parameter; known: {names}")
        query[name] = _only("query", name, values)
    return query


def _headers(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return headers


def _only(place: str, name: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise InvalidRequest((place, name), f"given {len(values)} times; give it once")
    return values[0]


async def _body(receive: Receive, headers: Mapping[str, list[str]], room: BodyRoom) -> Any:
    """Return the parsed body, or _MISSING. Raises BodyTooLarge, TooManyBodies, UnsupportedMedia or MalformedBody."""
    announced = headers.get("content-length", [""])[0]
    if announced.isascii() and announced.isdecimal() and int(announced[:20]) > MAX_BODY:
        raise _too_large()
    content = bytearray()
    taken = 0
    try:
        is_whole = False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            content += message.get("body", b"")
            is_whole = not message.get("more_body", False)
            if len(content) > MAX_BODY:
                raise _too_large()
            if (more := len(content) - UNCOUNTED - taken) > 0:
                room.take(more)
                taken += more
        return _parsed(content, headers) if content else _MISSING
    finally:
        room.take(-taken)


def _parsed(content: bytearray, headers: Mapping[str, list[str]]) -> Any:
    if headers.get("content-type", [""])[0].partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("send application/json (Content-Type)")
    if headers.get("content-encoding", ["identity"])[0].strip().lower() != "identity":
        raise UnsupportedMedia("send the body uncompressed (Content-Encoding)")
    try:
        strict_json.check_count(content, MAX_VALUES)
        return strict_json.loads(content)
    except ValueError as error:
        raise MalformedBody(f"the body is not strict JSON: {error}") from None


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"a body may have at most {MAX_BODY} bytes")
