"""An execution's turn: the slot it holds and the clock that runs meanwhile, also across pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import RunClock
    from .slots import Slots


class Turn:
    """While any LLM request is open the clock stands still; the first one gives the slot back, if that is allowed."""

    def __init__(self, slots: Slots, clock: RunClock, may_pause: Callable[[], bool]) -> None:
        """`may_pause` says whether one more paused execution may hold a sandbox without a slot."""
        self._slots = slots
        self._clock = clock
        self._may_pause = may_pause
        self._has_slot = False
        self._open = 0
        self._is_over = False
        self.on_pause: Callable[[bool], None] = _nobody_listens

    @property
    def is_paused(self) -> bool:
        """Whether it waits for a model and holds no slot."""
        return self._open > 0 and not self._has_slot

    async def begin(self) -> None:
        """Wait for a slot. The clock starts later, with `Run.started`."""
        await self._slots.acquire()
        self._has_slot = True

    def pause(self) -> None:
        """An LLM request was opened."""
        self._open += 1
        self._clock.enter("llm_wait")
        if self._open == 1:
            self.on_pause(True)
        if self._has_slot and self._may_pause():
            self._release()

    async def resume(self) -> None:
        """An LLM request was answered; with the last one, wait for a slot ahead of those that never ran."""
        if self._open == 1 and not self._has_slot:
            if not self._is_over:
                self._clock.enter("queued")
            await self._slots.acquire(ahead=True)
            self._has_slot = True
        self._open -= 1
        if self._is_over or (self._open and self._may_pause()):  # another thread of the script asked meanwhile
            self._release()
        self._go_on()

    def abandon(self) -> None:
        """An LLM request was given up by the backend: the clock must not stand still for it. Takes no slot."""
        self._open -= 1
        self._go_on()

    def end(self) -> None:
        """Stop the clock and give the slot back, now and for good."""
        self._is_over = True
        self.on_pause = _nobody_listens
        self._clock.enter(None)
        self._release()

    def _go_on(self) -> None:
        if not self._is_over and not self._open:
            self._clock.enter("run")
            self.on_pause(False)

    def _release(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release()


def _nobody_listens(is_paused: bool) -> None:
    del is_paused
