"""The deadline of an LLM request, which cannot pass while the answer is being stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadline:
    """Calls a function when the time is up, unless it is held then."""

    def __init__(self, seconds: float, passed: Callable[[], None]) -> None:
        """Count from now, in a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._passed = passed
        self.restart()

    def restart(self) -> None:
        """Count all of the time from now again."""
        self._at = self._loop.time() + self._seconds
        self._alarm = self._loop.call_at(self._at, self._passed)

    def hold(self) -> None:
        """Do not pass, until it is resumed or restarted."""
        self._alarm.cancel()

    def resume(self) -> None:
        """Pass at the time that was set before, or at once when that is over."""
        self._alarm = self._loop.call_at(self._at, self._passed)
