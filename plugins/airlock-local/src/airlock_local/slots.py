"""The slots of a box that no execution has: those that can be used again, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from .slot import Slot

if TYPE_CHECKING:
    from .box import Box
    from .cgroups import Groups

# A slot that can be used again takes twice the time to make. It is worth that where most scripts leave nothing.
WORTH: Final = 0.75  # the share of executions that left nothing, among the last ones that could
WEIGHT: Final = 1 / 16  # of the last one in that share
UNUSED: Final = 60.0  # seconds after which one is stopped that nobody wants
TRIAL: Final = 64  # of so many slots one can be used again, whatever the share is: to find out how it is now


class Slots:
    """Those of one box."""

    def __init__(self, box: Box, groups: Groups | None) -> None:
        self.box = box
        self._groups = groups
        self._free: dict[Slot, asyncio.TimerHandle] = {}  # and what stops it when nobody wants it for long
        self._lingering: set[Slot] = set()  # that may be free in a moment
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._stopping: set[asyncio.Task[None]] = set()
        self._most = 0
        self._share = 1.0
        self._made = 0

    async def take(self) -> Slot:
        """Return one in which no script runs. Raises as `Slot.make` does."""
        while not self._free and len(self._lingering) > len(self._waiting):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        while self._free:
            slot, expiry = self._free.popitem()
            expiry.cancel()
            if not slot.is_lost:
                return slot
            self._stop(slot)
        self._made += 1
        is_worth_it = self._share >= WORTH or self._made % TRIAL == 0
        return await Slot.make(self.box, self._groups, reuse=self.box.reuses and is_worth_it)

    def release(self, slot: Slot) -> None:
        """Let another script have it, if the one that has finished leaves nothing; otherwise stop it."""
        self._lingering.add(slot)
        slot.when_free(self._settled)

    def keep(self, most: int) -> None:
        """Have no more than this many that are free."""
        self._most = most
        while len(self._free) > most:
            self._expire(next(iter(self._free)))

    async def close(self) -> None:
        """Stop all that no worker has."""
        self.keep(0)
        while self._lingering:
            next(iter(self._lingering)).give_up()
            await asyncio.sleep(0)
        await asyncio.gather(*self._stopping)

    def _settled(self, slot: Slot, is_free: bool) -> None:
        self._lingering.remove(slot)
        self._share += (is_free - self._share) * WEIGHT
        if is_free and len(self._free) < self._most:
            self._free[slot] = asyncio.get_running_loop().call_later(UNUSED, self._expire, slot)
        else:
            self._stop(slot)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def _expire(self, slot: Slot) -> None:
        self._free.pop(slot).cancel()
        self._stop(slot)

    def _stop(self, slot: Slot) -> None:
        task = asyncio.get_running_loop().create_task(slot.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
