"""Every exception that the client raises on purpose, and LLMError, which an `llm` callable may raise.

ClientError
├── Unreachable          no complete reply arrived, in spite of retries
├── NotAirlock           the reply is not Airlock's: most often the URL is wrong
└── ProblemError         Airlock refused; `code` says why, and each HTTP status belongs to a family:
    ├── InvalidRequest   400, 405, 413, 415, 422
    ├── AccessDenied     401, 403
    ├── NotFound         404
    ├── Conflict         409
    ├── QuotaExceeded    429
    ├── Unavailable      503
    └── ServerFault      500, and all other 5xx
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence


class FieldError(BaseModel):
    """An invalid field of a request."""

    location: str
    message: str


class Problem(BaseModel):
    """What Airlock says when it refuses (RFC 9457)."""

    status: int
    code: str
    detail: str
    request_id: str | None = None
    errors: list[FieldError] = []


class LLMError(Exception):
    """Raised by an `llm` callable that has no answer. The script gets an `LLMError` with the same text."""


class ClientError(Exception):
    """Base of all but LLMError. `execution_id` is that of the execution that `run` was driving, if any."""

    execution_id: str | None = None


class Unreachable(ClientError):
    """Raised when no complete reply arrived. `was_sent`: the request may have reached the server nevertheless."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class NotAirlock(ClientError):
    """Raised when the reply is not from Airlock, or from a version that this client does not understand."""


class ProblemError(ClientError):
    """Raised when Airlock refuses a request; statuses without a family raise this class itself.

    `status` is the HTTP status, `code` the stable name of the cause (`queue_full`), `detail` a sentence for people,
    `errors` a line for each invalid field. If the server is at fault, `request_id` is in its log. `retry_after` is in
    seconds.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem.detail} ({problem.code})")
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.errors: Sequence[str] = [f"{error.location}: {error.message}" for error in problem.errors]
        self.retry_after = retry_after


class InvalidRequest(ProblemError):
    """Raised when the request is invalid: `invalid_request`, `idempotency_key_reused`, ..."""


class AccessDenied(ProblemError):
    """Raised when the key is missing or wrong (`unauthorized`), or only local clients are served (`not_local`)."""


class NotFound(ProblemError):
    """Raised for `execution_not_found` and `project_not_found`, also if they belong to another key."""


class Conflict(ProblemError):
    """Raised when the current state does not allow it: `not_awaiting_llm`, `already_answered`, `project_down`."""


class QuotaExceeded(ProblemError):
    """Raised when the key's quota is used up: `rate_exceeded`, `too_many_executions`."""


class Unavailable(ProblemError):
    """Raised for `queue_full`, `shutting_down` and `backend_unavailable`, whose detail has the remedy."""


class ServerFault(ProblemError):
    """Raised when the server is at fault, or a proxy in front of it."""


FAMILIES: dict[int, type[ProblemError]] = {
    400: InvalidRequest,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: QuotaExceeded,
    503: Unavailable,
}
