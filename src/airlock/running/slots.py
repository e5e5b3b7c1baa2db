"""How many executions of a project may run at once, and which is next."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A first-in-first-out semaphore of variable size. What comes back from a pause has a queue that goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._ahead: deque[asyncio.Future[None]] = deque()
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """How many executions could start now."""
        return self._size - self._taken

    def resize(self, size: int) -> None:
        """Change how many may run at once. Running executions go on."""
        self._size = size
        self._wake()

    async def acquire(self, *, ahead: bool = False) -> None:
        """Wait for a slot, `ahead` of executions that never ran if so asked."""
        if self._taken < self._size and not (self._ahead or (self._queue and not ahead)):
            self._taken += 1
            return
        queue = self._ahead if ahead else self._queue
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()  # the slot was given at the same moment
            elif turn in queue:  # unless `_wake` has already passed over it
                queue.remove(turn)
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        while self._taken < self._size and (queue := self._ahead or self._queue):
            turn = queue.popleft()
            if turn.done():
                continue
            self._taken += 1
            turn.set_result(None)
