"""Tells whether a script's process still runs: the script gives it a name that is visible from outside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
SIGHT: Final = 3.0  # seconds within which a process appears, if it is visible at all
_STEP: Final = 0.05


class Canary:
    """A name for a process. `code` is one line of Python that gives it to its own process."""

    def __init__(self) -> None:
        self.name = f"canary-{os.urandom(3).hex()}"  # the kernel keeps 15 characters
        self.code = f"__import__('ctypes').CDLL(None).prctl(15, b'{self.name}', 0, 0, 0)"

    async def appears(self, seconds: float = SIGHT) -> bool:
        """Whether it becomes visible from here within `seconds`: not if it runs in a virtual machine or elsewhere."""
        return await _within(seconds, lambda: bool(self._pids()))

    async def vanishes(self, seconds: float) -> bool:
        """Whether all processes of this name end within `seconds`."""
        return await _within(seconds, lambda: not self._pids())

    def _pids(self) -> list[int]:
        return [pid for pid, (name, _) in _processes().items() if name == self.name]


def children() -> dict[int, str]:
    """Return the descendants of this process, with their names."""
    processes = _processes()
    found = {os.getpid()}
    while new := {pid for pid, (_, parent) in processes.items() if parent in found} - found:
        found |= new
    return {pid: processes[pid][0] for pid in found if pid != os.getpid() and pid in processes}


async def gone(pids: set[int], seconds: float) -> dict[int, str]:
    """Wait for descendants of this process to end; returns those that still run."""
    await _within(seconds, lambda: not pids & set(children()))
    return {pid: name for pid, name in children().items() if pid in pids}


def _processes() -> dict[int, tuple[str, int]]:
    """Return the name and the parent of every living process, by its pid. Empty without /proc."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(errors="replace")
        except OSError:  # it has ended
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        if state not in "ZX":
            found[int(folder.name)] = name, int(parent)
    return found


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not (holds := condition()) and loop.time() < give_up:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(_STEP)
    return holds
