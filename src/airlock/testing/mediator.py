"""The contract that every mediator passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from airlock.backends import Project
from airlock.errors import LLMError
from airlock.llm import AskAgent, Mediator
from airlock.models import LLMRequest
from airlock.plugins import MEDIATOR, ClassKind

from .backend.audit import io_seen
from .backend.capabilities import MEDIATOR_CAPABILITIES, needs
from .backend.loop_watch import check_never_blocks
from .contract import PROMISED_KILL, Contract, no_exit
from .recording import never_answers


async def _agree(_: LLMRequest) -> str:
    return "yes"


async def _refuse(_: LLMRequest) -> str:
    raise LLMError("the agent refuses")


@pytest.mark.anyio
class MediatorContract(Contract):
    """Subclass it, write `make_mediator`, and claim `capabilities` (from `MEDIATOR_CAPABILITIES`).

    class TestCannedMediator(MediatorContract):
        def make_mediator(self, project: airlock.Project) -> CannedMediator:
            return CannedMediator(project, CannedSettings(answers=["yes"]))

    For a mediator that talks to a service, `make_mediator` uses a stand-in for that service.
    """

    kind: ClassVar[ClassKind[Any]] = MEDIATOR
    known_capabilities = MEDIATOR_CAPABILITIES
    patience: ClassVar[float] = 10.0
    """Seconds within which every answer must arrive."""

    def make_mediator(self, project: Project) -> Mediator[Any]:
        """Return a new mediator for this project, as core makes it."""
        raise NotImplementedError(f"write {type(self).__name__}.make_mediator(self, project)")

    def make(self, directory: Path) -> Mediator[Any]:
        """See `Contract.make`."""
        del directory
        return self.make_mediator(Project(name="contract"))

    async def answer(self, mediator: Mediator[Any], request: LLMRequest, agent: AskAgent = _agree) -> str:
        """Let the mediator answer one request."""
        answer = await asyncio.wait_for(no_exit(mediator.complete(request, agent), "complete"), self.patience)
        assert isinstance(answer, str), f"complete() must return str, not {type(answer).__name__}"
        return answer

    @pytest.fixture
    async def mediator(self) -> AsyncIterator[Mediator[Any]]:
        """Return a mediator, which is closed at the end."""
        mediator = self.make_mediator(Project(name="contract"))
        yield mediator
        await mediator.close()

    def test_settings_refuse_an_unknown_key(self) -> None:
        with pytest.raises(ValidationError) as caught:
            self.make_mediator(Project(name="contract")).Settings.model_validate({"surely unknown": 1})
        assert "extra_forbidden" in {error["type"] for error in caught.value.errors()}

    def test_construction_does_no_io_and_needs_no_event_loop(self) -> None:
        self.make_mediator(Project(name="contract"))  # imports what it needs
        with io_seen() as seen:
            self.make_mediator(Project(name="contract"))
        assert seen == []

    async def test_close_without_use(self) -> None:
        await self.make_mediator(Project(name="contract")).close()

    async def test_answer_is_text(self, mediator: Mediator[Any]) -> None:
        await self.answer(mediator, LLMRequest(prompt="?"))

    async def test_requests_at_once_are_all_answered(self, mediator: Mediator[Any]) -> None:
        await asyncio.gather(*(self.answer(mediator, LLMRequest(prompt=str(n))) for n in range(10)))

    async def test_agent_that_refuses_is_no_failure(self, mediator: Mediator[Any]) -> None:
        """The mediator may pass the refusal on or find another answer, but raises nothing except LLMError."""
        with contextlib.suppress(LLMError):
            await self.answer(mediator, LLMRequest(prompt="?"), _refuse)

    async def test_event_loop_is_not_blocked(self) -> None:
        async def use() -> None:
            mediator = self.make_mediator(Project(name="contract"))
            await self.answer(mediator, LLMRequest(prompt="?"))
            await mediator.close()

        await check_never_blocks(use, self.patience)

    async def test_request_is_left_as_it_is(self, mediator: Mediator[Any]) -> None:
        request = LLMRequest(prompt="?", model="m")
        await self.answer(mediator, request)
        assert request == LLMRequest(prompt="?", model="m")

    async def test_cancelled_request_ends_as_promised(self, mediator: Mediator[Any]) -> None:
        answering = asyncio.create_task(self.answer(mediator, LLMRequest(prompt="?"), never_answers))
        await asyncio.wait({answering}, timeout=0.05)
        answers_by_itself = answering.done()
        answering.cancel()
        await asyncio.wait({answering}, timeout=self._kill_patience)
        assert answering.done(), f"a cancelled complete() has not ended within {PROMISED_KILL:g} s"
        assert answers_by_itself or answering.cancelled(), f"a cancelled complete() must re-raise, not {answering}"

    @needs("asks_agent")
    async def test_agent_is_asked_what_the_script_asks(self, mediator: Mediator[Any]) -> None:
        asked = []

        async def agent(request: LLMRequest) -> str:
            asked.append(request)
            return "because"

        answer = await self.answer(mediator, LLMRequest(prompt="why?", model="m"), agent)
        assert (answer, asked) == ("because", [LLMRequest(prompt="why?", model="m")])

    @needs("asks_agent")
    async def test_error_of_the_agent_reaches_the_script(self, mediator: Mediator[Any]) -> None:
        with pytest.raises(LLMError, match="the agent refuses"):
            await self.answer(mediator, LLMRequest(prompt="?"), _refuse)
