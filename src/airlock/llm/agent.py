"""`llm: agent`, the default: the agent that polls the execution answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .mediator import Mediator, MediatorSettings

if TYPE_CHECKING:
    from airlock.models import LLMRequest

    from .mediator import AskAgent


class AgentMediator(Mediator[MediatorSettings]):
    """Lets the agent that polls answer: the default. Airlock needs no LLM key and no callback."""

    type = "agent"

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        """Pass the request on."""
        return await ask_agent(request)
