"""The wire models of the REST API: what clients send, and what the server answers (from `airlock_client.models`).

Fields added after the first version are optional.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from airlock_client.models import (
    PROJECT_NAME,
    AnswerModel,
    ExecutionCreated,
    ExecutionResult,
    ExecutionStatus,
    ListedExecution,
    LLMRequest,
    OpenLLMRequest,
    OutputEvent,
    PoolStatus,
    ProjectInfo,
    ProjectList,
    ProjectName,
    ProjectStatus,
    StatusEvent,
)

__all__ = [
    "MAX_ITEMS",
    "MAX_REPLICAS",
    "MAX_TIMEOUT",
    "PROJECT_NAME",
    "AnswerModel",
    "ExecutionCreated",
    "ExecutionList",
    "ExecutionRequest",
    "ExecutionResult",
    "ExecutionStatus",
    "FewItems",
    "HealthResponse",
    "Integer",
    "LLMAnswer",
    "LLMRequest",
    "LLMResponse",
    "ListedExecution",
    "OpenLLMRequest",
    "OutputEvent",
    "PoolRequest",
    "PoolStatus",
    "ProjectInfo",
    "ProjectList",
    "ProjectName",
    "ProjectStatus",
    "ReadyResponse",
    "RequestModel",
    "StatusEvent",
]

MAX_TIMEOUT = 86_400
MAX_REPLICAS = 1_000
MAX_ITEMS = 1_000  # settings, or answers, in one request


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[
    int, BeforeValidator(_integral)
]  # as in JSON Schema: 60.0 is an integer, and some languages write it so


def _few(value: object) -> object:
    """Refuse too many items before validating each: a million wrong ones would make a million problems."""
    if isinstance(value, (list, dict)) and len(value) > MAX_ITEMS:
        raise PydanticCustomError(
            "too_long", "has {count} items; at most {most}", {"count": len(value), "most": MAX_ITEMS}
        )
    return value


FewItems = BeforeValidator(_few)


class RequestModel(BaseModel):
    """Base of what clients send. Unknown fields and wrong types are refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, data: Any) -> Any:
        return _few(data)


class ExecutionRequest(RequestModel):
    """A script to run. `timeout` is in seconds of run time; queueing and waiting for LLM answers do not count."""

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
"""Which fields belong together, and the name of each form in generated clients."""


def _only_the_forms(schema: dict[str, Any]) -> None:
    """Express in JSON Schema which fields belong together."""
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

    `{response}` answers the request that the execution shows as `llm_request`. With `request_id` it cannot answer
    another one, so it is safe to repeat after a lost connection. `error` is raised as `LLMError` in the script.
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
            raise PydanticCustomError("fields", "each request_id may appear only once in responses")
        return self


class PoolRequest(RequestModel):
    """How many warm workers a project should keep."""

    replicas: Integer = Field(1, ge=1, le=MAX_REPLICAS)


class ExecutionList(AnswerModel):
    """Executions, newest first. `next_cursor` leads to the next page; without it there are no more."""

    executions: list[ListedExecution]
    next_cursor: str | None = None


class HealthResponse(AnswerModel):
    """The process responds."""

    status: str = "ok"


class ReadyResponse(AnswerModel):
    """The server accepts executions."""

    status: Literal["ready"] = "ready"
