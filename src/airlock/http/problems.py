"""Every error as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from airlock.errors import InvalidRequest, NotReady, RequestError
from airlock.logs import REQUEST_ID, log_event
from airlock.models import AnswerModel

from .errors import Fault
from .middleware import NO_SNIFF, REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.types import Scope

log = logging.getLogger(__name__)

MAX_ERRORS: Final = 100  # that one problem names
MAX_PATH: Final = 200  # characters of a path in the log


class FieldProblem(AnswerModel):
    """What is wrong at one place of a request (`body.project`), or why one project is not ready."""

    location: str
    message: str


class Problem(BaseModel):
    """Any error, as RFC 9457 says. `code` is the stable name of the cause, for programs; `detail` is for people.

    `request_id` stands in the header X-Request-ID too, and in the server's log.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] = []


class ProblemResponse(JSONResponse):
    """One problem. `code` is the stable name of the cause, for programs; `detail` is for people.

    `request_id` is also in the response's header and in the server's log. `errors` names each wrong field.
    """

    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        request_id = REQUEST_ID.get() or uuid.uuid4().hex
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": detail or title,
            "code": code,
            "request_id": request_id,
        }
        if errors is not None:
            body["errors"] = list(errors)
        # Of its own, as no middleware sees what is answered outside of the app.
        own = dict([(REQUEST_ID_HEADER, request_id), NO_SNIFF])
        super().__init__(body, status, {**own, **(headers or {})})

    @classmethod
    def of(cls, error: RequestError) -> ProblemResponse:
        """Return the problem that says what is wrong with a request."""
        errors = None
        if isinstance(error, InvalidRequest):
            errors = [_field(error.location, error.message)]
        elif isinstance(error, NotReady):
            errors = [_field(("projects", name), reason) for name, reason in error.reasons.items()]
        return cls(error.status, error.code, error.title, str(error), errors=errors, headers=error.headers)


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem, including those of the framework."""
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)


async def _request_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestError)
    if error.status in (429, 503) and not isinstance(error, NotReady):  # load balancers ask for it all the time
        tell_refusal(request.scope, error.code, client=request.state.client.name or None)
    return ProblemResponse.of(error)


async def _validation_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_field(problem["loc"], problem["msg"]) for problem in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{problem['location']}: {problem['message']}" for problem in errors[:5])
    return ProblemResponse(422, InvalidRequest.code, InvalidRequest.title, detail, errors=errors)


async def _http_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_").replace("-", "_")
    detail = str(error.detail)
    if detail == title:  # the router's own detail
        path = _printable(request.url.path)
        if error.status_code == 404:
            detail = f"nothing is served at {path}"
        elif error.status_code == 405:
            detail = f"{path} takes {(error.headers or {}).get('Allow')}, not {request.method}"
    return ProblemResponse(error.status_code, code, title, detail, headers=error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it: the client disconnected while it was sending


async def _fault(request: Request, error: Exception) -> ProblemResponse:
    place = {"fields": {"request_id": REQUEST_ID.get()}}
    log.error("%s %s failed", request.method, request.url.path[:MAX_PATH], exc_info=error, extra=place)
    return ProblemResponse.of(Fault("the server's log says why under this request_id"))


def tell_refusal(scope: Scope, code: str, client: str | None = None) -> None:
    """Log that a request was refused, with the name of its key, or else the address that it came from."""
    peer = scope.get("client")
    log_event(
        "request refused",
        level=logging.WARNING,
        code=code,
        client=client,
        peer=peer[0] if peer else None,
        method=scope["method"],
        path=scope["path"][:MAX_PATH],
    )


def _field(location: Sequence[str | int], message: str) -> dict[str, str]:
    return {"location": ".".join(_printable(str(part)) for part in location), "message": _printable(message)}


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()[:500]
