"""Requests, replies and their meaning; transport.py sends and receives them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError

from .errors import FAMILIES, ClientError, NotAirlock, Problem, ProblemError, ServerFault
from .models import ExecutionResult, ExecutionStatus, OpenLLMRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=BaseModel)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `repeatable`: sending it twice has the same effect as once. `headers` have lower-case names.

    `patience`: seconds that the reply may take.
    """

    method: str
    path: str
    query: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    repeatable: bool = True
    patience: float = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete reply. `headers` have lower-case names."""

    request: Request
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait according to the header, in either of its forms; None without one."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdecimal():
            return float(value[:9])
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())

    def parse(self, model: type[M]) -> M:
        """Return the answer. Raises ProblemError if it is a problem, NotAirlock if it is not from Airlock."""
        if not 200 <= self.status < 300:
            raise self.error()
        try:
            return model.model_validate_json(self.content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            reason = f"{where}: {first['msg']}" if where else first["msg"]
            raise self.not_airlock(reason) from None

    def error(self) -> ClientError:
        """Return the exception for an unsuccessful reply."""
        try:
            problem = Problem.model_validate_json(self.content)
        except ValidationError:
            if self.status >= 500 or self.status == 429:  # from a proxy whose server is not available
                return _problem_error(_without_body(self.status), self)
            if location := self.headers.get("location"):
                return self.not_airlock(f"it redirects to {_shown(location)}: use that URL")
            return self.not_airlock("the reply has no problem details")
        return _problem_error(problem, self)

    def not_airlock(self, reason: str) -> NotAirlock:
        """Return the exception for a reply that Airlock would not send."""
        kind = _shown(self.headers.get("content-type", "no content type"))
        sent = f"{self.request.method} {self.request.path}"
        return NotAirlock(
            f"{sent} was answered with {self.status} ({kind}), but not by Airlock: {reason}; is the URL right?"
        )


class Result(ExecutionResult):
    """An execution, as it was when the server answered. `status` and `error_type` say how far it is or how it ended."""

    project: str | None = None
    created_at: datetime | None = None
    llm_requests: list[OpenLLMRequest] = Field(default=[])

    @property
    def is_completed(self) -> bool:
        """Whether the script ran to its end without an error."""
        return self.status is ExecutionStatus.completed

    @property
    def open_llm_requests(self) -> list[OpenLLMRequest]:
        """LLM requests that await an answer."""
        return self.llm_requests or ([self.llm_request] if self.llm_request else [])


class Page(BaseModel):
    """A page of executions without their bodies; `next_cursor` leads to older ones."""

    executions: list[Result]
    next_cursor: str | None = None


def _without_body(status: int) -> Problem:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else str(status)
    code = phrase.lower().replace(" ", "_")
    return Problem(status=status, code=code, detail=f"the server, or a proxy in front of it, answered {status}")


def _shown(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:200]


def _problem_error(problem: Problem, reply: Reply) -> ProblemError:
    """Return the exception for a problem."""
    family = FAMILIES.get(reply.status, ServerFault if reply.status >= 500 else ProblemError)
    return family(problem, reply.retry_after)
