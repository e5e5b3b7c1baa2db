"""Tells by effect whether processes still run: a script gives its own process a name that can be seen from outside."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
SIGHT: Final = 3.0  # seconds within which a process that can be seen at all is seen
_STEP: Final = 0.05


class Canary:
    """A name for a process. `code` is Python that takes it, at any indentation: one line."""

    def __init__(self) -> None:
        self.name = f"canary-{os.urandom(3).hex()}"  # the kernel keeps 15 characters
        self.code = f"__import__('ctypes').CDLL(None).prctl(15, b'{self.name}', 0, 0, 0)"

    async def appears(self, seconds: float = SIGHT) -> bool:
        """Whether it can be seen from here, within so many seconds: not in a virtual machine, nor on another one."""
        return await _within(seconds, lambda: bool(self._pids()))

    async def vanishes(self, seconds: float) -> bool:
        """Whether nothing with this name runs any more, within so many seconds."""
        return await _within(seconds, lambda: not self._pids())

    def _pids(self) -> list[int]:
        return [pid for pid, (name, _) in _processes().items() if name == self.name]


def children() -> dict[int, str]:
    """Return the processes that this one has started, and those that they have, with their names."""
    processes = _processes()
    found = {os.getpid()}
    while new := {pid for pid, (_, parent) in processes.items() if parent in found} - found:
        found |= new
    return {pid: processes[pid][0] for pid in found if pid != os.getpid() and pid in processes}


async def gone(pids: set[int], seconds: float) -> dict[int, str]:
    """Wait for the end of processes that this one has started; returns those that are left."""
    await _within(seconds, lambda: not pids & set(children()))
    return {pid: name for pid, name in children().items() if pid in pids}


def _processes() -> dict[int, tuple[str, int]]:
    """Return the name and the parent of every process that is not dead, by its pid. Empty where there is no /proc."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(errors="replace")
        except OSError:  # gone meanwhile
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        if state not in "ZX":
            found[int(folder.name)] = name, int(parent)
    return found


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while not (holds := condition()) and loop.time() < give_up:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(_STEP)
    return holds
