"""A mediator that answers from a list, for tests and demos that need no agent."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from pydantic import Field

from airlock import Mediator, MediatorSettings

if TYPE_CHECKING:
    from airlock import AskAgent, LLMRequest, Project


class CannedSettings(MediatorSettings):
    """`answers` are given in turn; after the last one, the first follows again."""

    answers: list[str] = Field(min_length=1)


class CannedMediator(Mediator[CannedSettings]):
    """Answers every LLM request itself: executions never show `awaiting_llm`."""

    type = "canned"
    Settings = CannedSettings

    def __init__(self, project: Project, settings: CannedSettings) -> None:
        """Keep the answers."""
        super().__init__(project, settings)
        self._answers = cycle(settings.answers)

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        """Return the next answer."""
        return next(self._answers)
