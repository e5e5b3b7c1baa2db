"""The record of an execution, and its legal changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping  # noqa: TC003 - a store may build a pydantic.TypeAdapter(Execution)
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple

from .errors import Conflict
from .models import ExecutionStatus, LLMRequest

LEGAL: Final[Mapping[ExecutionStatus, frozenset[ExecutionStatus]]] = {
    ExecutionStatus.pending: frozenset({ExecutionStatus.running, ExecutionStatus.error}),
    ExecutionStatus.running: frozenset(
        {ExecutionStatus.awaiting_llm, ExecutionStatus.completed, ExecutionStatus.error, ExecutionStatus.timeout}
    ),
    ExecutionStatus.awaiting_llm: frozenset(
        {ExecutionStatus.running, ExecutionStatus.completed, ExecutionStatus.error, ExecutionStatus.timeout}
    ),
}
"""Which statuses may follow which. None follows a terminal status, so its first writer wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """An LLM request that awaits the agent's answer. `id` counts from 1 within its execution.

    Times are seconds since the epoch. `version` is that of the execution when the request was made.
    """

    id: int
    request: LLMRequest
    created_at: float
    expires_at: float
    version: int = 0

    @property
    def prompt(self) -> str:
        """The prompt of the request."""
        return self.request.prompt

    @property
    def model(self) -> str:
        """The model of the request."""
        return self.request.model


class Answer(NamedTuple):
    """The agent's answer to the LLM request `request_id`; None means the one that is shown."""

    text: str
    request_id: int | None = None
    is_error: bool = False

    @property
    def digest(self) -> str:
        """A digest that identifies the answer."""
        content = f"{self.is_error} {self.text}".encode(errors="surrogatepass")
        return hashlib.sha256(content).hexdigest()[:32]


class Position(NamedTuple):
    """The place of an execution in a list, which is sorted by these two, newest first."""

    created_at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which executions to list: at most `limit`, in the order of their `position`, largest (newest) first.

    `project`, `status` and `client` select executions; None selects all. `after` continues behind that position.
    """

    project: str | None = None
    status: ExecutionStatus | None = None
    client: str | None = None
    after: Position | None = None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The part of an execution that lists show, without anything large. Times are seconds since the epoch.

    `client` is the name of the key that it was submitted with; None for the operator's key and without keys.
    `version` counts changes.
    """

    id: str
    project: str
    client: str | None = None
    status: ExecutionStatus = ExecutionStatus.pending
    created_at: float = field(default_factory=time.time)
    started_at: float | None = None
    finished_at: float | None = None
    error_type: str | None = None
    exit_code: int | None = None
    version: int = 0

    @property
    def execution_id(self) -> str:
        """The `id`, by its name in answers."""
        return self.id

    @property
    def position(self) -> Position:
        """Its place in a list."""
        return Position(self.created_at, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Summary):
    """Everything that is known about one execution.

    The API's answers are read from its attributes: `ExecutionResult.model_validate(execution)` is what a poll shows.

    `settings` are those of the request; the project's are added when it runs, and never stored. `idempotency_key` lets
    the client repeat the request, and `request_digest` shows whether a repeated request is the same.
    """

    code: str
    timeout: int
    settings: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_digest: str = ""
    llm_requests: tuple[OpenRequest, ...] = ()
    answered: Mapping[str, str] = field(default_factory=dict)  # digests of the answers, by the id of the LLM request
    result: Any = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    error: str | None = None
    memory_updates: Mapping[str, Any] = field(default_factory=dict)
    queued_ms: int = 0
    run_ms: int = 0
    llm_wait_ms: int = 0

    @property
    def llm_request(self) -> OpenRequest | None:
        """The oldest open LLM request, or None."""
        return self.llm_requests[0] if self.llm_requests else None

    @property
    def llm_request_ids(self) -> list[int]:
        """The ids of the open LLM requests, oldest first."""
        return [request.id for request in self.llm_requests]

    @property
    def execution_time_ms(self) -> int | None:
        """Run time; None if it never started."""
        return None if self.started_at is None else self.run_ms

    @property
    def is_settled(self) -> bool:
        """Whether it has finished or waits for an LLM answer: what an agent waits for."""
        return self.status.is_terminal or bool(self.llm_requests)

    def summary(self) -> Summary:
        """Return the part that lists show."""
        return Summary(**{each.name: getattr(self, each.name) for each in fields(Summary)})

    def changed(self, changes: Mapping[str, Any]) -> Execution:
        """Return the record after these changes.

        Raises Conflict when the new status cannot follow the current one.
        """
        after: ExecutionStatus = changes.get("status", self.status)
        if self.status.is_terminal or (after is not self.status and after not in LEGAL[self.status]):
            raise Conflict(f"execution {self.id}: {self.status.value} cannot become {after.value}")
        return replace(self, **changes, version=self.version + 1)
