"""The server's responses. Fields that were added after the first version are optional."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

PROJECT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ProjectName = Annotated[str, StringConstraints(pattern=PROJECT_NAME)]


class AnswerModel(BaseModel):
    """Base of the server's responses: every field is always present."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True, from_attributes=True)


class ExecutionStatus(str, Enum):
    """The status of an execution; `completed`, `error` and `timeout` are terminal."""

    pending = "pending"
    running = "running"
    awaiting_llm = "awaiting_llm"
    completed = "completed"
    error = "error"
    timeout = "timeout"

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has finished."""
        return self in _TERMINAL


_TERMINAL = frozenset({ExecutionStatus.completed, ExecutionStatus.error, ExecutionStatus.timeout})


class ExecutionCreated(AnswerModel):
    """The receipt for a submitted script. `status` is pending, or for a repeated request the current status."""

    execution_id: str
    status: ExecutionStatus = ExecutionStatus.pending


class LLMRequest(BaseModel):
    """What a script asks an LLM."""

    prompt: str
    model: str = "default"


class OpenLLMRequest(LLMRequest):
    """An LLM request that awaits the agent's answer until `expires_at`. `id` counts from 1 within its execution."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: AwareDatetime
    expires_at: AwareDatetime


class ExecutionResult(AnswerModel):
    """An execution as a poll shows it. `error_type` names the cause, `error` says it in one line.

    `exit_code` is that of the script, negative for a signal; None if Airlock ended it, or where there is none.
    `truncated`: output beyond `limits.output` was dropped. Milliseconds are those spent so far waiting for a worker
    (`queued_ms`, also after an LLM answer), running (`run_ms`; `execution_time_ms` once it was started) and waiting for
    LLM answers (`llm_wait_ms`).
    `version` counts changes of the status and of open LLM requests, not of output. `llm_requests` are the open ones,
    oldest first; `llm_request` is the first of them.
    """

    execution_id: str
    status: ExecutionStatus
    result: Any | None = None
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    llm_request: OpenLLMRequest | None = None
    llm_requests: list[OpenLLMRequest] = []
    memory_updates: dict[str, Any] = {}
    execution_time_ms: int | None = None
    error_type: str | None = None
    exit_code: int | None = None
    truncated: bool = False
    version: int = 0
    project: ProjectName | None = None
    created_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    queued_ms: int = 0
    run_ms: int = 0
    llm_wait_ms: int = 0


class ListedExecution(AnswerModel):
    """An execution in a list: without code, output and result. Times are in UTC."""

    execution_id: str
    project: str
    status: ExecutionStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_type: str | None
    exit_code: int | None = None
    version: int


class StatusEvent(ListedExecution):
    """An execution in its event stream. `llm_request_ids` are the open LLM requests, oldest first."""

    llm_request_ids: list[int]


class OutputEvent(AnswerModel):
    """A piece of what a script wrote to stdout or stderr."""

    text: str


ProjectStatus = Literal["up", "down"]


class ProjectInfo(AnswerModel):
    """A project and its pool. `isolation` says in one line what protects the host from the project's scripts.

    `cpus` is how many CPU cores one execution may use (`limits.cpus`, or its default), None where nothing bounds that.
    """

    name: str
    description: str
    status: ProjectStatus
    replicas: int = 0
    idle_workers: int = 0
    packages: list[str] = []
    backend: str | None = None
    detail: str | None = None
    isolation: str | None = None
    cpus: float | None = None
    queued: int = 0
    running: int = 0
    paused: int = 0


class ProjectList(AnswerModel):
    """What airlock.yaml lists."""

    projects: list[ProjectInfo]


class PoolStatus(BaseModel):
    """A project's pool after `up` or `down`."""

    name: str
    status: ProjectStatus
    replicas: int
    detail: str | None = None
