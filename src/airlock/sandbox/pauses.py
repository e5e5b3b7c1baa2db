"""What a script may compute while it waits for a model: its clock stands still then, and CPU time takes its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Session, Stream
    from airlock.models import LLMRequest

SHORTEST_WAIT: Final = 0.1  # seconds between two looks at the CPU time


def over(timeout: int) -> str:
    """Say why an execution ends whose pauses used too much."""
    used = "while it waited for an answer, the script used more CPU time"
    return f"{used} than its timeout of {timeout} s had left (limits.timeout)"


class PauseWatch:
    """The session of an execution, which also counts the CPU time of its pauses.

    In all of them together the sandbox may use no more than its timeout has left. One look is enough as long as all of
    its cores could not have used up the rest: a script that really waits costs a look in many seconds.
    """

    def __init__(
        self, session: Session, timeout: float, cores: int, cpu_time: Callable[[], float], on_over: Callable[[], None]
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._cores = cores
        self._cpu_time = cpu_time  # of the sandbox, in seconds
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._open = 0
        self._ran = 0.0  # seconds on the clock
        self._used = 0.0  # CPU seconds in pauses that are over
        self._began_with = 0.0  # CPU seconds before this one
        self._since = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None
        self.write: Callable[[Stream, bytes], None] = session.write

    async def started(self) -> None:
        """See `Session.started`."""
        await self._session.started()
        self._since = self._loop.time()

    async def complete(self, request: LLMRequest) -> str:
        """See `Session.complete`. From here until it returns, the clock of the execution stands still."""
        self._open += 1
        if self._open == 1:
            self._ran += self._loop.time() - self._since
            self._began_with = self._cpu_time()
            self._look()
        try:
            return await self._session.complete(request)
        finally:
            self._open -= 1
            if self._open == 0:
                self._stop()

    def _look(self) -> None:
        used = self._used + self._cpu_time() - self._began_with
        left = self._timeout - self._ran - used
        if left <= 0:
            self._on_over()
        else:
            self._alarm = self._loop.call_later(max(left / self._cores, SHORTEST_WAIT), self._look)

    def _stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._used += self._cpu_time() - self._began_with
        self._since = self._loop.time()
