"""The contract of a mediator, which answers `llm.complete`. By default, the agent that polls does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from airlock.models import LLMRequest

if TYPE_CHECKING:
    from airlock.backends import Project

AskAgent = Callable[[LLMRequest], Awaitable[str]]
"""Sends a request to the agent that polls, and returns its answer. Raises LLMError when that is an error.

Cancel it to give up. If an answer has been accepted by then, it is returned all the same: the agent was told so.
"""


class MediatorSettings(BaseModel):
    """Base of a mediator's own options in airlock.yaml, next to `type`. An unknown key is a configuration error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsClass = type[MediatorSettings]
M = TypeVar("M", bound=MediatorSettings)


class Mediator(ABC, Generic[M]):
    """Answers the LLM requests of one project's scripts; core makes one instance per project.

    `type` is the word in airlock.yaml (`llm: agent`, or `llm: {type: canned, answers: [...]}`).
    """

    type: ClassVar[str]
    Settings: ClassVar[SettingsClass] = MediatorSettings

    def __init__(self, project: Project, settings: M) -> None:
        """Keep the configuration. No I/O. An override calls this one first."""
        self.project = project
        self.settings = settings

    @abstractmethod
    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        """Answer one request, directly or with `await ask_agent(request)`. Called concurrently.

        Only `ask_agent` makes the execution show `awaiting_llm`. Core cancels this call when the execution ends:
        re-raise within two seconds.

        Raises LLMError when the script should get an error.
        """

    async def close(self) -> None:
        """Release everything. Called once, at shutdown."""
        return
