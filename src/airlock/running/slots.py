"""How many executions of a project may run at once, and who is next."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A first-in-first-out semaphore whose size may change, with a short queue for those who come back from a pause."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._ahead: deque[asyncio.Future[None]] = deque()
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """How many could begin now."""
        return self._size - self._taken

    def resize(self, size: int) -> None:
        """Change how many may run at once. Those that run go on."""
        self._size = size
        self._wake()

    async def acquire(self, *, ahead: bool = False) -> None:
        """Wait for a slot; `ahead` of all that never ran."""
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
                self.release()  # the slot came in the same moment
            elif turn in queue:  # not if a slot was about to come: then it was passed over
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
