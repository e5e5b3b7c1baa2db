"""The events that observers get, one object each, so that a later release can add fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.backends import Pool
    from airlock.models import ExecutionResult, LLMRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFinished:
    """An execution reached a terminal status."""

    project: str
    result: ExecutionResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChanged:
    """A project came up, went down or was scaled, or failed to. That took `seconds`."""

    project: str
    pool: Pool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMRequested:
    """A script sent an LLM request."""

    project: str
    execution_id: str
    request: LLMRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMAnswered:
    """An LLM request was answered with the text `response`."""

    project: str
    execution_id: str
    request: LLMRequest
    response: str


Event: TypeAlias = ExecutionFinished | PoolChanged | LLMRequested | LLMAnswered

HOOK_OF: Final[Mapping[type[Event], str]] = {
    ExecutionFinished: "airlock_execution_finished",
    PoolChanged: "airlock_pool_changed",
    LLMRequested: "airlock_llm_requested",
    LLMAnswered: "airlock_llm_answered",
}
