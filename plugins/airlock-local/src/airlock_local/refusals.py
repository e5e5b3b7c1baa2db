"""Slows down a script that keeps asking for more processes than it may have, as a fork bomb does.

A cgroup refuses a process when most of it is made: page tables, locks, memory that is freed later by whoever runs then.
No share of CPU time accounts for that, and neighbours on two cores took more than twice their time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airlock import Limits, Run

    from .cgroups import Group

MANY: Final = 1000  # refusals; a thread pool that is too large has one for each of its threads
PERIOD: Final = 0.1  # seconds
OFTEN: Final = 10  # refusals in one period: who has imported much needs milliseconds for each
LASTING: Final = 5  # periods in a row with so many
SLOWED: Final = b"airlock: the script is slowed down, as it keeps asking for more processes\n"


class RefusalWatch:
    """Looks at the group of an execution until it is over."""

    def __init__(self, group: Group, run: Run, limits: Limits) -> None:
        """Begin to look."""
        self._group = group
        self._run = run
        self._limits = limits
        self._is_said = False
        self._known = 0
        self._periods = 0
        self._loop = asyncio.get_running_loop()
        self._alarm = self._loop.call_later(PERIOD, self._look)

    def end(self) -> None:
        """Name the limit, if it was reached and nobody said so, and look no more."""
        self._alarm.cancel()
        if self._group.refused_processes() and not self._is_said:
            self._say_limit()

    def _look(self) -> None:
        refused = self._group.refused_processes()
        self._periods = self._periods + 1 if refused - self._known >= OFTEN else 0
        self._known = refused
        if refused < MANY and self._periods < LASTING:
            self._alarm = self._loop.call_later(PERIOD, self._look)
            return
        self._say_limit()
        if self._group.throttle():
            self._run.write("stderr", SLOWED)

    def _say_limit(self) -> None:
        self._is_said = True
        self._run.write("stderr", f"{self._limits.reached('processes')}\n".encode())
