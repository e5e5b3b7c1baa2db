"""Ends an execution that holds too many locks of files (fcntl, flock), which the kernel charges to no control group.

It did so in Linux 5.15-rc1 (commit 0f12156dff28), but that made locking slow, and was taken back (3754707bcc3e).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .counters import Counters

log = logging.getLogger(__name__)

MOST: Final = 1000  # locks of one execution, 192 bytes each; SQLite holds a few for each connection
GROWN: Final = 5000  # locks more on the whole machine, 1 MB: who made them?
PERIOD: Final = 0.1  # seconds; a script makes some 100 000 locks in that time, 20 MB
BLIND_PERIOD: Final = 1.0  # seconds; /proc/locks makes the reader wait 10 ms, and all who lock at that moment
LONGEST: Final = 200_000  # lines of /proc/locks that are read; each new lock of a CPU core comes before its older ones
ALL_LOCKS: Final = Path("/proc/locks")
ALLOCATED: Final = Path("/sys/kernel/slab/file_lock_cache/total_objects")  # for root only
TOO_MANY: Final = f"the script held more than {MOST} locks of files, memory that limits.memory cannot count"


class Turns(Protocol):
    """The pool's `Watch`, as far as it is needed here."""

    def add(self, look: Callable[[], float | None], wait: float) -> None:
        """Call this in `wait` seconds, and again after what it returns."""

    def remove(self, look: Callable[[], float | None]) -> None:
        """Call it no more."""


class LockWatch:
    """Looks at the live executions of a pool together, in the turns of its watch; where none is live, it costs nothing.

    A look takes some microseconds: the kernel says how many locks the machine has. Only when there are thousands more
    than before does it read whose they are. A server that is not root cannot know the number, and reads each second.
    """

    def __init__(self, watch: Turns) -> None:
        """Look at nobody yet."""
        self._watch = watch
        self._live: dict[Counters, Callable[[str, str], None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._known = 0
        self._is_blind = not os.access(ALLOCATED, os.R_OK)  # not root, or a kernel without SLUB's statistics
        self._period = BLIND_PERIOD if self._is_blind else PERIOD

    def add(self, counters: Counters, end: Callable[[str, str], None]) -> None:
        """Look at one more execution: the processes in its control groups. `end` is `SandboxRun.end`."""
        if not self._live and self._reading is None:
            self._watch.add(self._look, self._period)
        self._live[counters] = end

    def discard(self, counters: Counters) -> None:
        """Look at it no more."""
        self._live.pop(counters, None)
        if not self._live:
            self._watch.remove(self._look)

    def _look(self) -> float | None:
        try:
            # Other small things of the kernel may be counted with them.
            number = 0 if self._is_blind else int(ALLOCATED.read_bytes().split()[0])
        except OSError as error:
            return self._failed(error)
        if self._is_blind or number >= self._known + GROWN:
            self._reading = asyncio.create_task(self._end_who_holds_too_many(number))
            return None
        self._known = min(self._known, number)
        return self._period

    def _failed(self, error: OSError) -> float:
        """Look again a little later: the server may have no descriptor left at the moment."""
        log.warning("the locks of executions cannot be counted at the moment: %s", error)
        return BLIND_PERIOD

    async def _end_who_holds_too_many(self, number: int) -> None:
        wait = self._period
        try:
            of_process = {process: counters for counters in self._live for process in counters.processes()}
            found = await asyncio.to_thread(_who_holds_too_many, of_process)
            self._known = number if found is None else 0  # there may be more of them: look again
            if found is not None and found in self._live:
                self._live[found]("memory_limit", TOO_MANY)
        except OSError as error:
            wait = self._failed(error)
        finally:
            self._reading = None
            if self._live:
                self._watch.add(self._look, wait)


def _who_holds_too_many(of_process: Mapping[int, Counters]) -> Counters | None:
    """Read all locks of the machine, until one execution has too many.

    A lock of fcntl names the process that took it, which lives as long as the lock: the seccomp filter lets no two
    processes share a table of descriptors (CLONE_FILES), by which one keeps the locks of the other. A lock of flock
    may outlive it, and is then not counted. The others are: the kernel begins anew for every page of the list, and all
    who lock on this machine wait meanwhile, so that many lines cost seconds.
    """
    held: Counter[Counters] = Counter()
    with ALL_LOCKS.open("rb") as lines:
        for line in itertools.islice(lines, LONGEST):
            words = line.split()  # number, kind, ADVISORY, READ or WRITE, process, ...; `->` before those who wait
            if words[1] in (b"POSIX", b"FLOCK") and (counters := of_process.get(int(words[4]))) is not None:
                held[counters] += 1
                if held[counters] > MOST:
                    return counters
    return None
