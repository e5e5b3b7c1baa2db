"""Run time of one execution: it counts only while the script runs, and rings once at the deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class RunClock:
    """A stopwatch with a deadline.

    Not `asyncio.timeout`: that cannot tell its own expiry from a backend's TimeoutError, and re-arming it raises when
    the deadline has just passed.
    """

    def __init__(self, seconds: float, on_deadline: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_deadline = on_deadline
        self._counted = 0.0
        self._running_since: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def elapsed_ms(self) -> int:
        """Whole milliseconds of run time so far."""
        running = 0.0 if self._running_since is None else asyncio.get_running_loop().time() - self._running_since
        return round((self._counted + running) * 1000)

    def start(self) -> None:
        """Count on."""
        if self._running_since is None:
            loop = asyncio.get_running_loop()
            self._running_since = loop.time()
            self._alarm = loop.call_at(self._running_since + self._seconds - self._counted, self._on_deadline)

    def stop(self) -> None:
        """Hold still."""
        if self._running_since is not None and self._alarm is not None:
            self._alarm.cancel()
            self._counted += asyncio.get_running_loop().time() - self._running_since
            self._running_since = None
