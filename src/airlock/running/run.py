"""A live execution: its clock, slot, output, LLM requests and end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airlock.backends import Job, Outcome, check_write
from airlock.errors import LLMError
from airlock.logs import event_logger
from airlock.models import ExecutionStatus
from airlock.plugins import LLMAnswered, LLMRequested, notify_observers
from airlock.secrets import Redactor

from .clock import STOPPED, Phase, RunClock
from .ending import LEFT, SHUT_DOWN, End, Ending, judge, noted, with_kept
from .output import Outputs
from .patience import Patience
from .questions import Questions
from .record import LiveRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from airlock.backends import Backend, Limits, Stream
    from airlock.executions import Answer, Execution
    from airlock.llm import Mediator
    from airlock.models import LLMRequest
    from airlock.plugins import Plugins
    from airlock.stores import Store

    from .slots import Slots

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a project provides to each of its runs.

    `may_pause` says whether one more paused execution may give its slot back. `settings` and `secrets` are added to
    those of the request when a job is made, and never stored. `redactor` removes the secrets from everything that the
    backend hands over.
    """

    backend: Backend[Any]
    mediator: Mediator[Any]
    slots: Slots
    store: Store[Any]
    plugins: Plugins
    may_pause: Callable[[], bool]
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)
    patience: Patience = field(default_factory=Patience)

    @property
    def limits(self) -> Limits:
        """The project's limits."""
        return self.backend.project.limits


class LiveRun:
    """Takes one execution from pending to its end. It implements `Followed`.

    Backends get it as their `airlock.Run`. Only it and its questions write the record.

    It has one phase, which its clock keeps, and one end. None of its parts refers to it, so it leaves no reference
    cycle behind.
    """

    def __init__(self, execution: Execution, surroundings: Surroundings) -> None:
        """Queue the execution, in a running event loop; `drive` does the rest."""
        self._log_event = event_logger(execution.id)
        self.limits = limits = surroundings.limits
        self._around = surroundings
        self._end = End()
        self._notes: list[str] = []
        self._kept: Outcome | None = None
        self._clock = RunClock(
            execution.timeout, limits.queue_timeout, surroundings.slots, surroundings.may_pause, self._end
        )
        self._outputs = Outputs(limits.output, surroundings.redactor)
        self.record = LiveRecord(execution, surroundings.store, self._outputs, self._clock, surroundings.patience)
        self._questions = Questions(self.record, limits, surroundings.mediator, self._end)

    # --- for the gateway -----------------------------------------------------------------------------------------

    @property
    def execution(self) -> Execution:
        """The record as stored."""
        return self.record.execution

    @property
    def runs_code(self) -> bool:
        """Whether a script is really executed."""
        return self._around.backend.runs_code

    @property
    def phase(self) -> Phase:
        """What the run is doing."""
        return self._clock.phase

    @property
    def waits_for_slot(self) -> bool:
        """Whether it is in the project's queue."""
        return self._clock.waits_for_slot

    @property
    def is_paused(self) -> bool:
        """Whether it waits for an LLM answer and holds no slot."""
        return self._clock.is_paused

    @property
    def is_final(self) -> bool:
        """See `Followed.is_final`."""
        return self.record.is_final

    def read(self, stream: Stream, start: int, most: int) -> str:
        """See `Followed.read`."""
        return self._outputs.read(stream, start, most)

    async def news(self) -> None:
        """See `Followed.news`."""
        await self.record.news()

    async def change(self) -> None:
        """See `Followed.change`."""
        known = self.execution
        await self.record.until(lambda execution: execution is not known)

    async def settled(self) -> None:
        """Wait until it is terminal or awaits an answer."""
        await self.record.until(lambda execution: execution.is_settled)

    def end(self, status: ExecutionStatus, error_type: str, error: str) -> None:
        """End it early: kill its code, keep its output. The first cause wins."""
        self._end.decide(Ending(status, error_type, error))

    def shut_down(self, *, stays_pending: bool) -> None:
        """End it because the server shuts down. With `stays_pending`, one that never started is kept for later."""
        self._end.decide(LEFT if stays_pending else SHUT_DOWN)

    async def answer(self, *answers: Answer) -> None:
        """Answer LLM requests. See `Questions.answer`."""
        await self._questions.answer(answers)

    async def drive(self) -> None:
        """Run it from pending to its end."""
        try:
            ending = await self._run()
        except Exception:  # the boundary: whatever a backend does, the execution gets its end
            log.exception("execution %s: the backend %r failed", self.execution.id, self._around.backend.type)
            ending = Ending(ExecutionStatus.error, "internal", "Airlock failed to run this; the server's log says why")
        await self._finish(ending)

    # --- for the backend: the Run protocol -------------------------------------------------------------------

    @property
    def has_started(self) -> bool:
        """See `Run.has_started`."""
        return self.phase is not Phase.queued

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """See `Run.on_pause`."""
        self._clock.on_pause = changed

    async def started(self) -> None:
        """See `Run.started`."""
        async with self.record.changing:
            if self.execution.status is not ExecutionStatus.pending:
                raise RuntimeError("Run.started() must be called exactly once")
            self._clock.start()
            await self.record.change(status=ExecutionStatus.running, started_at=time.time())
        self._clock.run()
        waited = (self.execution.started_at or 0) - self.execution.created_at
        self._log_event("execution started", queued_ms=max(0, round(waited * 1000)))

    def note(self, text: str) -> None:
        """See `Run.note`."""
        if self.phase not in STOPPED:
            self._notes.append(text)

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        """See `Run.keep`."""
        if self.phase not in STOPPED:
            self._kept = Outcome(result=result, memory_updates=memory_updates)

    def write(self, stream: Stream, data: bytes) -> None:
        """See `Run.write`."""
        check_write(stream, data)
        if self.phase not in STOPPED:
            self._outputs.write(stream, data)
            self.record.wake_readers()

    async def complete(self, request: LLMRequest) -> str:
        """See `Run.complete`."""
        number = self._questions.count(request)
        request = self._around.redactor.request(request)
        project, execution_id = self.execution.project, self.execution.id
        requested = LLMRequested(project=project, execution_id=execution_id, request=request)
        notify_observers(self._around.plugins, requested)
        self._clock.pause()
        self._log_event("execution paused", llm_request=number)
        try:
            answer = await self._questions.put(number, request)
            await self._clock.resume()
        except asyncio.CancelledError:
            self._clock.abandon()
            raise
        self._questions.check_open()  # an answer that comes after the end is none, in the log and for observers too
        outcome = "error" if isinstance(answer, LLMError) else "text"
        self._log_event("execution answered", llm_request=number, answer=outcome)
        if isinstance(answer, LLMError):
            raise answer
        answered = LLMAnswered(project=project, execution_id=execution_id, request=request, response=answer)
        notify_observers(self._around.plugins, answered)
        return answer

    # --- running and ending --------------------------------------------------------------------------------------

    async def _run(self) -> Ending:
        slot = asyncio.ensure_future(self._clock.acquire())
        if (ending := await self._end.first_of(slot)) is not None:
            slot.cancel()
            await asyncio.wait({slot})
            self._clock.stop()
            return ending
        running = asyncio.ensure_future(self._execute())
        ending = await self._end.first_of(running)
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=self._around.patience.kill)
        if not running.done() and self.record.trouble is None:  # otherwise it waits for the store, which is logged
            self._log_late()
        self._clock.stop(running)
        if ending is not None:
            running.add_done_callback(self._log_failure)
            return ending
        return judge(running.result(), self.limits, self._around.redactor)

    def _log_late(self) -> None:
        mediator, backend = ("mediator", self._questions.mediator), ("backend", self._around.backend.type)
        late = mediator if self._questions.hold_up else backend
        told = "execution %s of project %s: the %s %r has not ended it within %g s"
        log.error(told, self.execution.id, self.execution.project, *late, self._around.patience.kill)

    async def _execute(self) -> Outcome:
        """Have the backend run it, even a faulty one, whose `execute` is not async or raises SystemExit."""
        try:
            outcome = await self._around.backend.execute(self._job(), self)
        except SystemExit as error:
            raise RuntimeError(f"execute raised SystemExit({error.code})") from error
        if not isinstance(outcome, Outcome):
            raise TypeError(f"execute returned {type(outcome).__name__}, not Outcome")
        return outcome

    def _job(self) -> Job:
        execution = self.execution
        secrets = {name: secret.get_secret_value() for name, secret in self._around.secrets.items()}
        return Job(
            id=execution.id,
            code=execution.code,
            timeout=execution.timeout,
            settings={**execution.settings, **self._around.settings, **secrets},
            memory=execution.memory,
        )

    async def _finish(self, ending: Ending) -> None:
        self._end.decide(ending)
        self._questions.drop()
        self._outputs.finish()
        async with self.record.changing:
            if self.execution.status is ExecutionStatus.pending:
                if ending is LEFT:
                    self.record.leave()
                    return
                if ending.status is not ExecutionStatus.error:
                    log.error("execution %s: the backend returned without Run.started()", self.execution.id)
                    ending = Ending(ExecutionStatus.error, "internal", "the backend never started the script")
            ending = with_kept(ending, self._kept, self.limits, self._around.redactor)
            ending = noted(ending, self._notes, self._around.redactor)
            changes = {**ending._asdict(), **self.record.progress()}
            await self.record.change(**changes, llm_requests=(), finished_at=time.time())

    def _log_failure(self, running: asyncio.Future[Outcome]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            log.error("execution %s: the backend failed while ending it", self.execution.id, exc_info=error)
