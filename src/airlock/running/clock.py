"""The phase of a run: how its time is counted, whether it holds a slot, and when it times out."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from airlock.models import ExecutionStatus

from .ending import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .ending import End
    from .slots import Slots


class Phase(Enum):
    """What a run is doing. The status of its record follows once the store has the change."""

    queued = "waiting for a slot, then for a worker"
    starting = "has a worker; its start is being stored"
    running = "computing"
    paused = "waiting for answers to its LLM requests"
    resuming = "has all answers, and is waiting for a slot again"
    lingering = "ended, but resists its kill: it keeps its slot"
    over = "finished"


ACCOUNTS: Final[Mapping[Phase, str]] = {
    Phase.queued: "queued_ms",
    Phase.starting: "queued_ms",
    Phase.running: "run_ms",
    Phase.paused: "llm_wait_ms",
    Phase.resuming: "queued_ms",
}
"""The field of the record that counts the time of a phase."""
STOPPED: Final = (Phase.lingering, Phase.over)


class RunClock:
    """Keeps the phase of a run; nothing else changes it.

    The run time stops while any LLM request is open. The first one gives the slot back, if that is allowed.

    `asyncio.timeout` would not do: it cannot distinguish its own expiry from a backend's TimeoutError, and rescheduling
    it raises when the deadline has just passed.
    """

    def __init__(
        self, timeout: int, queue_timeout: float, slots: Slots, may_pause: Callable[[], bool], end: End
    ) -> None:
        """Queue the run. Timeouts are in seconds; the first one that expires decides the `end`.

        `may_pause` says whether one more paused execution may hold a sandbox without a slot.
        """
        self._timeout = timeout
        self._queue_timeout = queue_timeout
        self._slots = slots
        self._may_pause = may_pause
        self._end = end
        self._has_slot = False
        self._open = 0  # LLM requests
        self._spent = dict.fromkeys(("queued_ms", "run_ms", "llm_wait_ms"), 0.0)
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        self._alarm: asyncio.TimerHandle | None = loop.call_later(queue_timeout, self._on_queue_timeout)
        self.phase = Phase.queued
        self.on_pause: Callable[[bool], None] = _nobody_listens

    @property
    def waits_for_slot(self) -> bool:
        """Whether it is queued, and not about to be handed to a worker."""
        return self.phase is Phase.queued and not self._has_slot

    @property
    def is_paused(self) -> bool:
        """Whether it waits for an LLM answer and holds no slot."""
        return self._open > 0 and not self._has_slot

    def times(self) -> dict[str, int]:
        """Return the time spent so far, in whole milliseconds, by field of the record."""
        self._count()
        return {account: round(seconds * 1000) for account, seconds in self._spent.items()}

    async def acquire(self) -> None:
        """Wait for a slot. The time still counts as queued until `run`."""
        await self._slots.acquire()
        self._has_slot = True

    def start(self) -> None:
        """A worker was found."""
        self._enter(Phase.starting)

    def run(self) -> None:
        """The code is handed over."""
        self._enter(Phase.running)

    def pause(self) -> None:
        """An LLM request was opened."""
        self._open += 1
        self._enter(Phase.paused)
        if self._has_slot and self._may_pause():
            self._release()

    async def resume(self) -> None:
        """An LLM request was answered. After the last one, wait for a slot ahead of executions that never ran."""
        if self._open == 1 and not self._has_slot:
            self._enter(Phase.resuming)
            await self._slots.acquire(ahead=True)
            self._has_slot = True
        self._open -= 1
        is_asked_again = self._open > 0  # meanwhile, by another thread of the script
        if self.phase is Phase.over or (is_asked_again and self._may_pause()):
            self._release()
        self._go_on()

    def abandon(self) -> None:
        """The backend gave up an LLM request, so the clock no longer stops for it. Takes no slot."""
        self._open -= 1
        self._go_on()

    def stop(self, work: asyncio.Future[Any] | None = None) -> None:
        """Stop counting; give the slot back once `work` is done, so that what resists its kill cannot pile up."""
        self.on_pause = _nobody_listens
        if work is None or work.done():
            self._enter(Phase.over)
            self._release()
        else:
            self._enter(Phase.lingering)
            work.add_done_callback(lambda _: self.stop())

    def _go_on(self) -> None:
        if not self._open:
            self._enter(Phase.running)

    def _release(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release()

    def _enter(self, phase: Phase) -> None:
        before = self.phase
        if phase is before or (before in STOPPED and phase is not Phase.over):
            return
        self._count()
        self.phase = phase
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if phase is Phase.running:
            deadline = self._since + self._timeout - self._spent["run_ms"]
            self._alarm = asyncio.get_running_loop().call_at(deadline, self._on_deadline)
            if before is not Phase.starting:
                self.on_pause(False)
        elif phase is Phase.paused and before is not Phase.resuming:
            self.on_pause(True)

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.phase not in STOPPED:
            self._spent[ACCOUNTS[self.phase]] += now - self._since
        self._since = now

    def _on_queue_timeout(self) -> None:
        error = f"no worker was free within limits.queue_timeout ({self._queue_timeout:g} s)"
        self._end.decide(Ending(ExecutionStatus.error, "queue_timeout", error))

    def _on_deadline(self) -> None:
        error = f"the script ran longer than its timeout of {self._timeout} s"
        self._end.decide(Ending(ExecutionStatus.timeout, "timeout", error))


def _nobody_listens(is_paused: bool) -> None:
    del is_paused
