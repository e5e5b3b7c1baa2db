"""The record of an execution, and which changes of it are legal."""

from __future__ import annotations

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
"""Where a status may lead. None leads out of a terminal one, so the first writer of one wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    """An LLM request that the agent has to answer. `id` counts from 1 within its execution.

    Times are seconds since the epoch. `version` is that of the execution when it was asked.
    """

    id: int
    request: LLMRequest
    created_at: float
    expires_at: float
    version: int = 0

    @property
    def prompt(self) -> str:
        """What the script asks."""
        return self.request.prompt

    @property
    def model(self) -> str:
        """Which model the script asks."""
        return self.request.model


class Position(NamedTuple):
    """Where an execution stands in a list: executions are listed by these two, newest first."""

    created_at: float
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which executions a list shows: at most `limit`, in the order of their `position`, largest (newest) first.

    Only those of this project, in this status, of this client; None: of any. With `after`, those that follow it.
    """

    project: str | None = None
    status: ExecutionStatus | None = None
    client: str | None = None
    after: Position | None = None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a list shows of an execution: nothing that may be large. Times are seconds since the epoch.

    `client` is the name of the key that it was submitted with, None for the operator's and on servers without keys.
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
    version: int = 0

    @property
    def execution_id(self) -> str:
        """The `id`, as answers call it."""
        return self.id

    @property
    def position(self) -> Position:
        """Where it stands in a list."""
        return Position(self.created_at, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Summary):
    """Everything that is known of one execution.

    Answers of the API are read from its attributes: `ExecutionResult.model_validate(execution)` is what a poll shows.

    `settings` are the request's; the project's are joined when it runs, and never stored. `idempotency_key` is what the
    client sent to be able to repeat the request, `request_digest` tells whether that is the same one.
    """

    code: str
    timeout: int
    settings: Mapping[str, str] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    request_digest: str = ""
    llm_requests: tuple[OpenRequest, ...] = ()
    answered: Mapping[str, str] = field(default_factory=dict)  # digests of the answers, by the id of their LLM request
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
        """The oldest open LLM request."""
        return self.llm_requests[0] if self.llm_requests else None

    @property
    def llm_request_ids(self) -> list[int]:
        """The open LLM requests, oldest first."""
        return [request.id for request in self.llm_requests]

    @property
    def execution_time_ms(self) -> int | None:
        """Run time; None when it was never started."""
        return None if self.started_at is None else self.run_ms

    @property
    def is_settled(self) -> bool:
        """Whether it is over, or goes on only after an answer: what an agent waits for."""
        return self.status.is_terminal or bool(self.llm_requests)

    def summary(self) -> Summary:
        """Return what a list shows."""
        return Summary(**{each.name: getattr(self, each.name) for each in fields(Summary)})

    def changed(self, changes: Mapping[str, Any]) -> Execution:
        """Return the record after these changes.

        Raises Conflict when the new status cannot follow the present one.
        """
        after: ExecutionStatus = changes.get("status", self.status)
        if self.status.is_terminal or (after is not self.status and after not in LEGAL[self.status]):
            raise Conflict(f"execution {self.id}: {self.status.value} cannot become {after.value}")
        return replace(self, **changes, version=self.version + 1)
