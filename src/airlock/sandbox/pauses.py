"""What a script may compute while it waits for a model: its clock stands still then, and CPU time takes its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Run

SHORTEST_WAIT: Final = 0.1  # seconds between two looks at the CPU time


def over(timeout: int) -> str:
    """Say why an execution ends whose pauses used too much."""
    used = "while it waited for an answer, the script used more CPU time"
    return f"{used} than its timeout of {timeout} s had left (limits.timeout)"


class PauseWatch:
    """Counts the CPU time that a sandbox uses while the clock of its execution stands still.

    In all pauses together that may be no more than its timeout has left. One look is enough as long as all of its cores
    could not have used up the rest: a script that really waits costs a look in many seconds.
    """

    def __init__(
        self, run: Run, timeout: float, cores: int, cpu_time: Callable[[], float], on_over: Callable[[], None]
    ) -> None:
        """Made when the run has started. `cpu_time` returns that of the sandbox, in seconds."""
        self._timeout = timeout
        self._cores = cores
        self._cpu_time = cpu_time
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._ran = 0.0  # seconds on the clock
        self._used = 0.0  # CPU seconds in pauses that are over
        self._began_with = 0.0  # CPU seconds before this one
        self._since = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        run.on_pause(self._on_pause)

    def _on_pause(self, is_paused: bool) -> None:
        if is_paused:
            self._ran += self._loop.time() - self._since
            self._began_with = self._cpu_time()
            self._look()
        else:
            self.stop()
            self._used += self._cpu_time() - self._began_with
            self._since = self._loop.time()

    def _look(self) -> None:
        used = self._used + self._cpu_time() - self._began_with
        left = self._timeout - self._ran - used
        if left <= 0:
            self._on_over()
        else:
            self._alarm = self._loop.call_later(max(left / self._cores, SHORTEST_WAIT), self._look)

    def stop(self) -> None:
        """Look no more: the sandbox is gone, or the pause is over."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
