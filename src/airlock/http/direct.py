"""The requests that agents send over and over, past the framework's machinery for parameters, bodies and answers.

That machinery took a fifth of the server's CPU time for an execution. Only a request that is as most of them are goes
past it, to the same function with the same values. Every other one, and so each that is to be refused, goes the
framework's way: nothing here decides what a request means.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.responses import Response

from .requests import UNCOUNTED, StrictRoute, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import BaseModel
    from starlette.types import Message, Receive, Scope, Send

    M = TypeVar("M", bound="BaseModel")
    F = TypeVar("F", bound=Callable[..., Any])
    Direct = Callable[[Scope], Callable[[bytes], Awaitable[Response]]]

_QUERY: Final = re.compile(rb"(?:wait=([0-9]{1,2}(?:\.[0-9]{1,3})?))?(?:(?:^|&)since=([0-9]{1,9}))?")


class Unusual(Exception):
    """Raised for a request that the framework is to look at."""


def direct(function: Direct) -> Callable[[F], F]:
    """Give the function of a route a shorter way there.

    `function` looks at ASGI's scope, and what it returns at the body, b"" where the route takes none. Either raises
    Unusual. The last is an awaitable of what the framework would answer, which does not keep the body.
    """

    def mark(endpoint: F) -> F:
        endpoint.direct = function  # type: ignore[attr-defined]  # a function takes any
        return endpoint

    return mark


class DirectRoute(StrictRoute):
    """A route that takes the shorter way where there is one."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answering: Awaitable[Response] | None = None
        first: Message | None = None
        function: Direct | None = getattr(self.endpoint, "direct", None)
        if function is not None and scope["method"] in (self.methods or ()):
            with contextlib.suppress(Unusual):
                parse = function(scope)
                if self.body_field is None:  # then the framework does not wait for one either
                    answering = parse(b"")
                elif _is_small(scope):
                    first = await receive()
                    answering = parse(_whole(first))
        if answering is not None:
            del first  # the body would stay as long as `?wait=`
            await (await answering)(scope, receive, send)
            return
        if first is not None:
            receive = _again(first, receive)
            del first
        await super().handle(scope, receive, send)


def query(scope: Scope) -> tuple[float, int | None]:
    """Return `wait` and `since`. Raises Unusual when there is more, or something else in them than a plain number."""
    found = _QUERY.fullmatch(scope["query_string"])
    if found is None:
        raise Unusual
    wait, since = found.groups()
    return 0 if wait is None else float(wait), None if since is None else int(since)


def headers(scope: Scope, *names: bytes) -> Mapping[bytes, str]:
    """Return these headers, as far as they are there. Raises Unusual when one comes twice, or the body is encoded."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in found or name == b"content-encoding":
            raise Unusual
        if name in names:
            found[name] = value.decode("latin-1")
    return found


def parsed(model: type[M], body: bytes) -> M:
    """Parse strict JSON. Raises Unusual when something is wrong with it."""
    try:
        return model.model_validate(load(body))
    except ValueError:
        raise Unusual from None


def answer(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer."""
    content = model.__pydantic_serializer__.to_json(model)
    return Response(content, status, headers, media_type="application/json")


def _is_small(scope: Scope) -> bool:
    """Whether the body may be read before anything else is known of it: it is announced, and fits into one piece."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return value.isdigit() and len(value) < 6 and int(value) <= UNCOUNTED
        if name == b"transfer-encoding":
            return False
    return True


def _whole(message: Message) -> bytes:
    if message["type"] != "http.request" or message.get("more_body"):
        raise Unusual
    body: bytes = message.get("body", b"")
    return body


def _again(first: Message, receive: Receive) -> Receive:
    """Return what gives this message first."""
    left = [first]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again
