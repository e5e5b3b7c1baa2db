"""Slows down a script that keeps asking for more processes than it may have, as a fork bomb does.

A cgroup refuses a process when most of it is made: page tables, locks, memory that is freed later by whoever runs then.
No share of CPU time accounts for that, and neighbours on two cores took more than twice their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airlock import Run
    from airlock.sandbox import SandboxRun, Watch

    from .cgroups import Group

MANY: Final = 1000  # refusals; a thread pool that is too large has one for each of its threads
PERIOD: Final = 0.1  # seconds
OFTEN: Final = 10  # refusals in one period: who has imported much needs milliseconds for each
LASTING: Final = 5  # periods in a row with so many
# Seconds, in a pause without any refusal: many executions may be paused at once, and for hours. Each look without one
# doubles the wait for the next. The longest one is also how late a look may be once the pause is over.
FIRST_WAIT, LONGEST_WAIT = 1.0, 8.0
SLOWED: Final = b"airlock: the script is slowed down, as it keeps asking for more processes\n"


class RefusalWatch:
    """Looks at the group of an execution until it has finished."""

    def __init__(self, group: Group, run: Run, sandbox_run: SandboxRun, watch: Watch) -> None:
        """Begin to look, in the turns of the pool's watch."""
        self._group = group
        self._run = run
        self._sandbox_run = sandbox_run
        self._watch = watch
        self._known = 0
        self._periods = 0
        self._wait = FIRST_WAIT
        watch.add(self._look, PERIOD)

    def stop(self) -> None:
        """Look no more."""
        self._watch.remove(self._look)

    def _look(self) -> float | None:
        refused = self._group.counters.refused_forks()
        new, self._known = refused - self._known, refused
        self._periods = self._periods + 1 if new >= OFTEN else 0
        if refused < MANY and self._periods < LASTING:
            return self._next_wait(new)
        self._sandbox_run.name_limit("processes")
        if self._group.throttle():
            self._run.write("stderr", SLOWED)
        return None

    def _next_wait(self, new: int) -> float:
        if new or not self._sandbox_run.is_paused:
            self._wait = FIRST_WAIT
            return PERIOD
        wait, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        return wait
