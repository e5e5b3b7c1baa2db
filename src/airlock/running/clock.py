"""Where the time of one execution goes; it rings once when the run time is used up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Phase = Literal["queued", "run", "llm_wait"]


class RunClock:
    """A stopwatch for each phase, of which one runs at a time, with a deadline for the run time.

    Not `asyncio.timeout`: that cannot tell its own expiry from a backend's TimeoutError, and re-arming it raises when
    the deadline has just passed.
    """

    def __init__(self, seconds: float, on_deadline: Callable[[], None]) -> None:
        """`seconds` of run time are allowed. The execution is queued from now on."""
        self._seconds = seconds
        self._on_deadline = on_deadline
        self._counted: dict[Phase, float] = {"queued": 0, "run": 0, "llm_wait": 0}
        self._phase: Phase | None = "queued"
        self._since = asyncio.get_running_loop().time()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def milliseconds(self) -> Mapping[Phase, int]:
        """Whole milliseconds in each phase so far."""
        self._count()
        return {phase: round(seconds * 1000) for phase, seconds in self._counted.items()}

    def enter(self, phase: Phase | None) -> None:
        """Count for this phase from now on; None: for none, it is over."""
        if phase == self._phase:
            return
        self._count()
        self._phase = phase
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if phase == "run":
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(self._since + self._seconds - self._counted["run"], self._on_deadline)

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._phase is not None:
            self._counted[self._phase] += now - self._since
        self._since = now
