"""One watch for all executions of a pool: what the kernel counts but does not report is looked at in common turns."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from .locks import LockWatch

if TYPE_CHECKING:
    from collections.abc import Callable

TURN: Final = 0.1  # seconds


class Watch:
    """Calls looks when they are due, all in one turn of the event loop: a pool has one timer for all its executions.

    There is a turn every `TURN` seconds at most, and none that nobody is due in. The kernel cannot do this for us:
    CPU time has no notification, and refused processes have none with control groups of version 1.
    """

    def __init__(self) -> None:
        self._due: dict[Callable[[], float | None], int] = {}  # in which turn, since the loop's clock began
        self._next = 0  # the turn of the alarm
        self._alarm: asyncio.TimerHandle | None = None
        self.locks = LockWatch(self)

    def add(self, look: Callable[[], float | None], wait: float = TURN) -> None:
        """Have `look` called in `wait` seconds or up to a turn later; it returns its next wait, or None for never.

        A look is quick and does not block. One that raises is called no more; the event loop reports the exception.
        """
        now = asyncio.get_running_loop().time()
        self._due[look] = turn = math.ceil((now + wait) / TURN)
        self._wake(turn)

    def remove(self, look: Callable[[], float | None]) -> None:
        """Call it no more, if it is there at all. A look that wants this for itself returns None."""
        self._due.pop(look, None)

    def _wake(self, turn: int) -> None:
        if self._alarm is not None:
            if self._next <= turn:
                return
            self._alarm.cancel()
        self._next = turn
        self._alarm = asyncio.get_running_loop().call_at(turn * TURN, self._turn)

    def _turn(self) -> None:
        self._alarm = None
        try:
            for look in [look for look, turn in self._due.items() if turn <= self._next]:
                if self._due.pop(look, None) is not None and (wait := look()) is not None:
                    self.add(look, wait)
        finally:
            if self._due:
                self._wake(min(self._due.values()))
