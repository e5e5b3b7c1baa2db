"""The LLM requests of one live execution: limits, the mediator, and the agent's answers."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airlock.errors import AlreadyAnswered, LLMError, NotAwaitingLLM
from airlock.executions import OpenRequest
from airlock.models import ExecutionStatus
from airlock.units import format_size

from .deadline import Deadline
from .ending import Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from airlock.backends import Limits
    from airlock.executions import Answer, Execution
    from airlock.llm import Mediator
    from airlock.models import LLMRequest

    from .ending import End
    from .record import LiveRecord

log = logging.getLogger(__name__)

OPEN_PROMPTS = 16  # times limits.prompt that all open prompts of an execution may total: the server holds them


def not_given_before(execution: Execution, answers: Sequence[Answer]) -> dict[int, Answer]:
    """Return the answers that are new, by request: the same answer again changes nothing.

    Raises NotAwaitingLLM when a request is not open, AlreadyAnswered when it already has another answer.
    """
    is_open = [request.id for request in execution.llm_requests]
    found: dict[int, Answer] = {}
    for answer in answers:
        number = answer.request_id or next(iter(is_open), None)
        given = execution.answered.get(str(number))
        if given is not None and given != answer.digest:
            raise AlreadyAnswered(f"the LLM request {number} already has another answer")
        if given is None:
            if number not in is_open:
                asked = "" if number is None else f"the LLM request {number} is not open; "
                shown = ", ".join(map(str, is_open)) or "none"
                cause = f" ({execution.error_type}: {execution.error})" if execution.error_type else ""
                raise NotAwaitingLLM(
                    f"{asked}the execution's status is {execution.status.value}{cause}; open LLM requests: {shown}"
                )
            found[number] = answer
    return found


class Questions:
    """Asks the mediator, which answers itself or asks the agent; several requests may be open at once.

    An answer competes with the deadline, the mediator's patience and every other end. The first wins, and both sides
    learn it: an answer is accepted only before the end is decided, and from then on its deadline is held. An end that
    is decided while the answer is being stored comes after it, and a mediator that gives up waits for it.
    """

    def __init__(self, record: LiveRecord, limits: Limits, mediator: Mediator[Any], end: End) -> None:
        """Once the `end` is decided, no request is opened, and nothing waits for the open ones."""
        self._record = record
        self._limits = limits
        self._mediator = mediator
        self._end = end
        self._asked = 0
        self._sizes: dict[int, int] = {}  # bytes of the unanswered prompts
        self._deadlines: dict[int, Deadline] = {}
        self._answers: dict[int, asyncio.Future[str]] = {}  # awaited from the agent
        self._asking: set[asyncio.Task[Any] | None] = set()  # the tasks that wait for the mediator

    def count(self, request: LLMRequest) -> int:
        """Return the number of a new request. Raises LLMError when it is one too many, too long, or too late."""
        self.check_open()
        limits, size = self._limits, len(request.prompt.encode())
        if self._asked >= limits.llm_calls:
            error = f"the script made more LLM requests than limits.llm_calls allows ({limits.llm_calls})"
        elif size > limits.prompt:
            error = f"a prompt of {size} bytes exceeds limits.prompt ({format_size(limits.prompt)})"
        elif sum(self._sizes.values()) + size > OPEN_PROMPTS * limits.prompt:
            error = (
                f"the open prompts together exceed {OPEN_PROMPTS} times limits.prompt ({format_size(limits.prompt)})"
            )
        else:
            self._asked += 1
            self._sizes[self._asked] = size
            return self._asked
        self._end.decide(Ending(ExecutionStatus.error, "llm_limit", error))
        raise LLMError(error)

    @property
    def mediator(self) -> str:
        """The `type` of the mediator."""
        return self._mediator.type

    @property
    def hold_up(self) -> bool:
        """Whether the mediator was cancelled but goes on."""
        return any(task is not None and task.cancelling() for task in self._asking)

    async def put(self, number: int, request: LLMRequest) -> str | LLMError:
        """Return the mediator's answer."""
        patience = self._limits.llm_timeout
        deadline = self._deadlines[number] = Deadline(patience, self._on_timeout)
        now = time.time()
        asking = asyncio.current_task()
        self._asking.add(asking)

        def ask_agent(asked: LLMRequest) -> Awaitable[str]:
            return self._ask_agent(OpenRequest(id=number, request=asked, created_at=now, expires_at=now + patience))

        try:
            answer: object = await self._mediator.complete(request, ask_agent)
        except LLMError as error:
            return error
        except (Exception, SystemExit):  # the boundary to a plugin: the script gets an error, the log the traceback
            log.exception("execution %s: the mediator %r failed", self._record.execution.id, self._mediator.type)
        else:
            if isinstance(answer, str):
                return answer
            kind = type(answer).__name__
            log.error(
                "execution %s: the mediator %r answered with %s", self._record.execution.id, self._mediator.type, kind
            )
        finally:
            deadline.hold()
            self._asking.discard(asking)
            del self._sizes[number], self._deadlines[number]
        return LLMError("the mediator failed")

    async def answer(self, answers: Sequence[Answer]) -> None:
        """Hand over the agent's answers: all of them, or none.

        Raises what `not_given_before` raises, NotAwaitingLLM once the end is decided, and StoreUnavailable.
        """
        if not not_given_before(self._record.execution, answers):  # a refusal does not wait for the record either
            return
        if not self._end.is_decided:
            async with self._record.changing_soon():
                if not self._end.is_decided:
                    await self._accept(answers)
                    return
        await self._record.ended_soon()  # so that the client finds the end when it looks
        raise NotAwaitingLLM(f"nothing awaits the answer: the execution {self._told_end()}")

    async def _accept(self, answers: Sequence[Answer]) -> None:
        """Store the answers, then hand them over; the record's `changing` is held."""
        before = self._record.execution
        new = not_given_before(before, answers)
        if not new:
            return
        if not new.keys() <= self._answers.keys():
            raise NotAwaitingLLM("nothing awaits the answer: the LLM request was withdrawn")
        for number in new:
            self._deadlines[number].hold()
        still_open = tuple(request for request in before.llm_requests if request.id not in new)
        digests = {str(number): answer.digest for number, answer in new.items()}
        try:
            changes = {"llm_requests": still_open, "answered": {**before.answered, **digests}}
            await self._record.change(insist=False, **changes)  # the client can retry
        finally:  # also when the client is gone: what is stored is handed over
            is_stored = self._record.execution is not before
            for number, answer in new.items():
                if is_stored:
                    self._hand_over(number, answer)
                elif number in self._deadlines:
                    self._deadlines[number].resume()

    def _hand_over(self, number: int, answer: Answer) -> None:
        waiting = self._answers.get(number)
        if waiting is None or waiting.done():  # an end was decided meanwhile
            return
        self._deadlines[number].restart()  # for what the mediator makes of it
        if answer.is_error:
            waiting.set_exception(LLMError(answer.text))
        else:
            waiting.set_result(answer.text)

    def drop(self) -> None:
        """Give up all open requests: the script is gone."""
        for answer in self._answers.values():
            answer.cancel()

    async def _ask_agent(self, request: OpenRequest) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[request.id] = answer
        try:
            async with self._record.changing:
                self.check_open()
                execution = self._record.execution
                asked = replace(request, version=execution.version + 1)
                await self._record.change(llm_requests=(*execution.llm_requests, asked), **self._record.progress())
            return await asyncio.shield(answer)  # not cancelled with the task: it may be being stored
        except asyncio.CancelledError:
            if self._end.is_decided:  # then all are dropped at once
                raise
            await self._withdraw(request.id)  # the mediator gave up
            if answer.done() and not answer.cancelled():  # but the answer came first
                return answer.result()
            raise
        finally:
            del self._answers[request.id]

    async def _withdraw(self, number: int) -> None:
        async with self._record.changing:
            is_open = self._record.execution.llm_requests
            if any(request.id == number for request in is_open):
                await self._record.change(llm_requests=tuple(r for r in is_open if r.id != number))

    def check_open(self) -> None:
        """Raise LLMError once the end is decided."""
        if self._end.is_decided:
            raise LLMError("the execution has finished")

    def _told_end(self) -> str:
        ending = self._end.ending
        if ending is None or ending.error_type is None:
            return "has finished"
        return f"ended as {ending.status.value} ({ending.error_type}: {ending.error})"

    def _on_timeout(self) -> None:
        error = f"the LLM request was not answered within limits.llm_timeout ({self._limits.llm_timeout:g} s)"
        self._end.decide(Ending(ExecutionStatus.timeout, "llm_timeout", error))
