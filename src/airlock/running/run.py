"""One live execution: its clock, its slot, its output, its LLM requests, and its end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from airlock.backends import Job, Outcome, check_write
from airlock.errors import LLMError
from airlock.logs import event_logger
from airlock.models import ExecutionStatus
from airlock.plugins import LLMAnswered, LLMRequested, notify_observers
from airlock.secrets import Redactor

from .clock import RunClock
from .ending import Ending, judge
from .output import Outputs
from .questions import Questions
from .record import LiveRecord
from .turn import Turn
from .weak_calls import weak

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from airlock.backends import Backend, Stream
    from airlock.executions import Answer, Execution
    from airlock.llm import Mediator
    from airlock.models import LLMRequest
    from airlock.plugins import Plugins
    from airlock.stores import Store

    from .slots import Slots

log = logging.getLogger(__name__)

NOT_REDACTING: Final = Redactor()
KILL_GRACE: Final = 2.0  # seconds that a backend gets to kill what it runs


class LiveExecution:
    """Carries one execution from pending to its end. It is the backend's `Run`, and can be `Followed`.

    Only it and its questions write the record.
    """

    def __init__(
        self,
        execution: Execution,
        *,
        backend: Backend[Any],
        mediator: Mediator[Any],
        slots: Slots,
        store: Store[Any],
        plugins: Plugins,
        may_pause: Callable[[], bool],
        settings: Mapping[str, str] = MappingProxyType({}),
        secrets: Mapping[str, SecretStr] = MappingProxyType({}),
        redactor: Redactor = NOT_REDACTING,
    ) -> None:
        """`may_pause` says whether one more paused execution may give its slot back.

        `settings` and `secrets` are the project's: they are joined to the request's here and never stored. `redactor`
        takes the secrets out of all that the backend hands over.
        """
        self.record = LiveRecord(execution, store)
        self._settings = settings
        self._secrets = secrets
        self._redactor = redactor
        self._stays_pending = False
        self.has_started = False
        self._log_event = event_logger(execution.id)
        self.limits = backend.project.limits
        self._backend = backend
        self._plugins = plugins
        self._outputs = Outputs(self.limits.output, redactor)
        loop = asyncio.get_running_loop()
        self._clock = RunClock(execution.timeout, weak(self._on_deadline))
        self._turn = Turn(slots, self._clock, may_pause)
        self._queue_alarm = loop.call_later(self.limits.queue_timeout, self._on_queue_timeout)
        self._ending: asyncio.Future[Ending] = loop.create_future()
        self._questions = Questions(self.record, self.limits, mediator, weak(self.end), weak(self._progress))

    # --- for the gateway -----------------------------------------------------------------------------------------

    @property
    def execution(self) -> Execution:
        """The record as it is stored."""
        return self.record.execution

    @property
    def runs_code(self) -> bool:
        """Whether a script is really executed."""
        return self._backend.runs_code

    @property
    def is_paused(self) -> bool:
        """Whether it waits for a model and holds no slot."""
        return self._turn.is_paused

    def snapshot(self) -> Execution:
        """Return the record, with output and run time up to now."""
        return self.execution if self.execution.status.is_terminal else replace(self.execution, **self._progress())

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
        """End it early: kill what runs, keep what it wrote. The first cause wins."""
        if not self._ending.done():
            self._settle(Ending(status, error_type, error))

    def leave(self) -> None:
        """End it because the server ends. If it never started it stays pending in the store, for the next server."""
        if not self._ending.done():  # else a client has cancelled it, say, and only the store is late
            self._stays_pending = True
        self.end(ExecutionStatus.error, "interrupted", "the server was shut down")

    async def answer(self, *answers: Answer) -> None:
        """Answer LLM requests. See `Questions.answer`."""
        await self._questions.answer(answers)

    async def drive(self) -> None:
        """Run it from pending to its end."""
        try:
            ending = await self._run()
        except Exception:  # the boundary: whatever a backend does, the execution gets its end
            log.exception("execution %s: the backend %r failed", self.execution.id, self._backend.type)
            ending = Ending(ExecutionStatus.error, "internal", "Airlock failed to run this; the server's log says why")
        await self._finish(ending)

    # --- for the backend: the Run protocol -------------------------------------------------------------------

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """See `Run.on_pause`."""
        self._turn.on_pause = changed

    async def started(self) -> None:
        """See `Run.started`."""
        self.has_started = True
        async with self.record.changing:
            if self.execution.status is not ExecutionStatus.pending:
                raise RuntimeError("Run.started() is to be called exactly once")
            self._queue_alarm.cancel()
            await self.record.change(status=ExecutionStatus.running, started_at=time.time())
        self._clock.enter("run")
        waited = (self.execution.started_at or 0) - self.execution.created_at
        self._log_event("execution started", queued_ms=max(0, round(waited * 1000)))

    def write(self, stream: Stream, data: bytes) -> None:
        """See `Run.write`."""
        check_write(stream, data)
        if not self._outputs.is_finished:
            self._outputs.write(stream, data)
            self.record.tell_output()

    async def complete(self, request: LLMRequest) -> str:
        """See `Run.complete`."""
        number = self._questions.count(request)
        request = self._redactor.request(request)
        project, execution_id = self.execution.project, self.execution.id
        requested = LLMRequested(project=project, execution_id=execution_id, request=request)
        notify_observers(self._plugins, requested)
        self._turn.pause()
        self._log_event("execution paused", llm_request=number)
        try:
            answer = await self._questions.put(number, request)
            await self._turn.resume()
        except asyncio.CancelledError:
            self._turn.abandon()
            raise
        outcome = "error" if isinstance(answer, LLMError) else "text"
        self._log_event("execution answered", llm_request=number, answer=outcome)
        if isinstance(answer, LLMError):
            raise answer
        answered = LLMAnswered(project=project, execution_id=execution_id, request=request, response=answer)
        notify_observers(self._plugins, answered)
        return answer

    # --- running and ending --------------------------------------------------------------------------------------

    async def _run(self) -> Ending:
        turn = asyncio.ensure_future(self._turn.begin())
        await self._first_of(turn)
        if self._ending.done():
            turn.cancel()
            await asyncio.wait({turn})
            self._turn.end()
            return self._ending.result()
        running = asyncio.ensure_future(self._execute())
        await self._first_of(running)
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=KILL_GRACE)
        if running.done():
            self._turn.end()
        else:  # what still runs keeps its slot, so that a project cannot pile up what it fails to kill
            if self.record.trouble is None:  # else it waits for the store, which was told
                self._log_late()
            running.add_done_callback(lambda _: self._turn.end())
        if self._ending.done():
            running.add_done_callback(self._log_failure)
            return self._ending.result()
        return judge(running.result(), self.limits, self._redactor)

    def _log_late(self) -> None:
        mediator, backend = ("mediator", self._questions.mediator), ("backend", self._backend.type)
        late = mediator if self._questions.hold_up else backend
        told = "execution %s of project %s: the %s %r has not ended it within %g s"
        log.error(told, self.execution.id, self.execution.project, *late, KILL_GRACE)

    async def _execute(self) -> Outcome:
        """Have the backend run it, whatever that is: `execute` may not be async, or want to end the server."""
        try:
            outcome = await self._backend.execute(self._job(), self)
        except SystemExit as error:
            raise RuntimeError(f"execute raised SystemExit({error.code})") from error
        if not isinstance(outcome, Outcome):
            raise TypeError(f"execute returned {type(outcome).__name__}, not Outcome")
        return outcome

    def _job(self) -> Job:
        execution = self.execution
        secrets = {name: secret.get_secret_value() for name, secret in self._secrets.items()}
        return Job(
            id=execution.id,
            code=execution.code,
            timeout=execution.timeout,
            settings={**execution.settings, **self._settings, **secrets},
            memory=execution.memory,
        )

    async def _first_of(self, work: asyncio.Future[Any]) -> None:
        """Wait until the work is done or the execution is to end."""
        await asyncio.wait((work, cast("asyncio.Future[Any]", self._ending)), return_when=asyncio.FIRST_COMPLETED)

    async def _finish(self, ending: Ending) -> None:
        if not self._ending.done():
            self._settle(ending)
        self._queue_alarm.cancel()
        self._questions.drop()
        self._outputs.finish()
        async with self.record.changing:
            if self.execution.status is ExecutionStatus.pending and self._stays_pending:
                self.record.leave()
                return
            if self.execution.status is ExecutionStatus.pending and ending.status is not ExecutionStatus.error:
                log.error("execution %s: the backend returned without Run.started()", self.execution.id)
                ending = Ending(ExecutionStatus.error, "internal", "the backend never started it")
            await self.record.change(**ending._asdict(), llm_requests=(), finished_at=time.time(), **self._progress())

    def _settle(self, ending: Ending) -> None:
        self._ending.set_result(ending)
        self._questions.close()

    def _progress(self) -> dict[str, Any]:
        times = {f"{phase}_ms": milliseconds for phase, milliseconds in self._clock.milliseconds.items()}
        return {**self._outputs.fields(), **times}

    def _on_deadline(self) -> None:
        seconds = self.execution.timeout
        self.end(ExecutionStatus.timeout, "timeout", f"the script ran longer than its timeout of {seconds} s")

    def _on_queue_timeout(self) -> None:
        seconds = self.limits.queue_timeout
        self.end(
            ExecutionStatus.error, "queue_timeout", f"no worker was free within limits.queue_timeout ({seconds:g} s)"
        )

    def _log_failure(self, running: asyncio.Future[Outcome]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            log.error("execution %s: the backend failed while ending it", self.execution.id, exc_info=error)
