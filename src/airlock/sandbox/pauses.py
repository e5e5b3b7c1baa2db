"""Bounds the CPU time of a script whose clock stands still, as it waits for a model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Run

    from .counters import Counters
    from .watch import Watch

SHORTEST_WAIT: Final = 0.5  # seconds between two looks at the CPU time of a script that waits


class Pauses:
    """Bounds the CPU time that a script uses while it waits for a model, when its clock stands still.

    In all pauses together that may be no more than its timeout has left. One look is enough as long as all of its cores
    could not have used up the rest: a script that really waits costs a look in many seconds.
    """

    def __init__(
        self, run: Run, timeout: float, cores: int, counters: Counters, watch: Watch, end: Callable[[str, str], None]
    ) -> None:
        self._timeout = timeout
        self._cores = cores
        self._counters = counters
        self._watch = watch
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._ran = 0.0  # seconds on the clock
        self._used = 0.0  # CPU seconds in former pauses
        self._began_with = 0.0  # CPU seconds before this one
        self._since = self._loop.time()
        self.is_paused = False
        run.on_pause(self._on_pause)

    def stop(self) -> None:
        """Look no more: the sandbox is gone, or the pause is over."""
        self.is_paused = False
        self._watch.remove(self._look)

    def _on_pause(self, is_paused: bool) -> None:
        if is_paused:
            self.is_paused = True
            self._ran += self._loop.time() - self._since
            self._began_with = self._counters.cpu_time()
            if (wait := self._look()) is not None:
                self._watch.add(self._look, wait)
        else:
            self.stop()
            self._used += self._counters.cpu_time() - self._began_with
            self._since = self._loop.time()

    def _look(self) -> float | None:
        used = self._used + self._counters.cpu_time() - self._began_with
        left = self._timeout - self._ran - used
        if left > 0:
            return max(left / self._cores, SHORTEST_WAIT)
        used_more = "while it waited for an answer, the script used more CPU time"
        self._end("cpu_limit", f"{used_more} than its timeout of {self._timeout} s had left (limits.timeout)")
        return None
