"""Wire models of executions without their results: what lists show, and the events of a stream."""

from __future__ import annotations

from datetime import datetime

from .models import AnswerModel, ExecutionStatus


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
