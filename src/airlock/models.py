"""The wire models of the REST API. Fields that came after the first version are optional."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

PROJECT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_TIMEOUT = 86_400
MAX_REPLICAS = 1_000
MAX_ITEMS = 1_000  # settings of a request, and answers in one

ProjectName = Annotated[str, StringConstraints(pattern=PROJECT_NAME)]


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[
    int, BeforeValidator(_integral)
]  # as JSON Schema has it: 60.0 is one, and some languages write it so


def _few(value: object) -> object:
    """Refuse what holds more before it is looked at: a problem for each of a million wrong items would be the worst."""
    if isinstance(value, (list, dict)) and len(value) > MAX_ITEMS:
        raise PydanticCustomError(
            "too_long", "has {count} items; at most {most}", {"count": len(value), "most": MAX_ITEMS}
        )
    return value


FewItems = BeforeValidator(_few)


class RequestModel(BaseModel):
    """Base of what clients send: an unknown field or a wrong type is refused, never guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, data: Any) -> Any:
        return _few(data)


class AnswerModel(BaseModel):
    """Base of what the server sends: every field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True, from_attributes=True)


class ExecutionRequest(RequestModel):
    """A script to run. `timeout` is in seconds of run time: queueing and waiting for an LLM answer do not count."""

    project: ProjectName
    code: str
    timeout: Integer = Field(60, ge=1, le=MAX_TIMEOUT)
    settings: Annotated[dict[str, str], FewItems] = {}
    memory: dict[str, Any] = {}


class LLMAnswer(RequestModel):
    """The answer to one of several LLM requests."""

    request_id: Integer = Field(ge=1)
    response: str


_RESPOND_FORMS: dict[frozenset[str], str] = {
    frozenset({"response"}): "AnswerShown",
    frozenset({"request_id", "response"}): "AnswerById",
    frozenset({"request_id", "error"}): "ErrorById",
    frozenset({"responses"}): "AnswersById",
}
"""Which fields belong together, and what generated clients call that."""


def _only_the_forms(schema: dict[str, Any]) -> None:
    """Say in JSON Schema which fields belong together."""
    fields = {
        name: {k: v for k, v in field.items() if k != "default"} for name, field in schema.pop("properties").items()
    }
    schema["oneOf"] = [
        {
            "title": title,
            "type": "object",
            "properties": {name: field for name, field in fields.items() if name in form},
            "required": sorted(form),
            "additionalProperties": False,
        }
        for form, title in _RESPOND_FORMS.items()
    ]
    del schema["additionalProperties"]


class LLMResponse(RequestModel):
    """The agent's answer: `{response}`, `{request_id, response}`, `{request_id, error}` or `{responses}`.

    `{response}` answers the request that the execution shows as `llm_request`. With `request_id` it is certainly that
    one, so that it may be sent again when a connection was lost. `error` is raised as `LLMError` in the script.
    `responses` answers several requests, at most 1,000: all of them, or none when one cannot be answered.
    """

    model_config = ConfigDict(json_schema_extra=_only_the_forms)

    response: str = ""
    request_id: Integer = Field(0, ge=1)
    error: str = ""
    responses: Annotated[list[LLMAnswer], FewItems] = Field([], min_length=1)

    @model_validator(mode="after")
    def _is_one_of_the_forms(self) -> LLMResponse:
        if frozenset(self.model_fields_set) not in _RESPOND_FORMS:
            forms = "{response}, {request_id, response}, {request_id, error} or {responses: [{request_id, response}]}"
            raise PydanticCustomError("fields", "must be exactly one of {forms}", {"forms": forms})
        numbers = [answer.request_id for answer in self.responses]
        if len(set(numbers)) != len(numbers):
            raise PydanticCustomError("fields", "each request_id may stand in responses only once")
        return self


class PoolRequest(RequestModel):
    """How many warm workers a project shall keep."""

    replicas: Integer = Field(1, ge=1, le=MAX_REPLICAS)


class ExecutionStatus(str, Enum):
    """Where an execution stands; `completed`, `error` and `timeout` are terminal."""

    pending = "pending"
    running = "running"
    awaiting_llm = "awaiting_llm"
    completed = "completed"
    error = "error"
    timeout = "timeout"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""
        return self in _TERMINAL


_TERMINAL = frozenset({ExecutionStatus.completed, ExecutionStatus.error, ExecutionStatus.timeout})


class ExecutionCreated(AnswerModel):
    """The receipt for a submitted script. `status` is pending, or for a request that was sent again, what it is now."""

    execution_id: str
    status: ExecutionStatus = ExecutionStatus.pending


class LLMRequest(BaseModel):
    """What a script asks of a model."""

    prompt: str
    model: str = "default"


class OpenLLMRequest(LLMRequest):
    """An LLM request that awaits the agent's answer, until `expires_at`. `id` counts from 1 within its execution."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: AwareDatetime
    expires_at: AwareDatetime


class ExecutionResult(AnswerModel):
    """An execution as a poll shows it. `error_type` names the cause, `error` says it in one line.

    `truncated`: output beyond `limits.output` was dropped. Milliseconds are those spent so far waiting for a worker
    (`queued_ms`, also after an LLM answer), running (`run_ms`; `execution_time_ms` once it was started) and waiting for
    LLM answers (`llm_wait_ms`).
    `version` counts changes of the status and of open LLM requests, not of output. `llm_requests` are all open,
    the oldest first; `llm_request` is the first of them.
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
    """An execution as a list shows it: without code, output and result. Times are in UTC."""

    execution_id: str
    project: str
    status: ExecutionStatus
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_type: str | None
    version: int


class StatusEvent(ListedExecution):
    """An execution as the stream of its events shows it. `llm_request_ids` are the open LLM requests, oldest first."""

    llm_request_ids: list[int]


class OutputEvent(AnswerModel):
    """A piece of what a script wrote to stdout or stderr."""

    text: str


class ExecutionList(AnswerModel):
    """Executions, newest first. `next_cursor` leads to those after them; without one there are no more."""

    executions: list[ListedExecution]
    next_cursor: str | None = None


ProjectStatus = Literal["up", "down"]


class ProjectInfo(AnswerModel):
    """A project and its pool. `isolation` says in one line what protects the host from its scripts."""

    name: str
    description: str
    status: ProjectStatus
    replicas: int = 0
    idle_workers: int = 0
    packages: list[str] = []
    backend: str | None = None
    detail: str | None = None
    isolation: str | None = None
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


class HealthResponse(AnswerModel):
    """The process answers."""

    status: str = "ok"


class ReadyResponse(AnswerModel):
    """The server takes executions."""

    status: Literal["ready"] = "ready"
