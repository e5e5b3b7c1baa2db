"""Does something again that failed, later each time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pauses(first: float, most: float) -> Iterator[float]:
    """Yield the seconds before each repetition: `first`, then twice as many each time, up to `most`."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, most)


class Retry:
    """One pending repetition at most; the pause before it doubles with each failure in a row."""

    def __init__(self, again: Callable[[], object], *, first: float, most: float) -> None:
        """Call `again` after `first` seconds, then after twice as many each time, up to `most`."""
        self._again = again
        self._first = first
        self._most = most
        self._pause: float | None = None  # before the last repetition; None after a success
        self._pauses = pauses(first, most)
        self.outages = 0  # how often it failed, without what `failed` says belongs to a failure before
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_pending(self) -> bool:
        """Whether it will be done again."""
        return self._timer is not None

    def failed(self, begun: int | None = None) -> float:
        """Have it done again; returns in how many seconds.

        Of several that are done at once, each gives `outages` as it was when it began: what began before the last
        failure belongs to that one, and makes the pause no longer.
        """
        self.cancel()
        is_new = begun in (None, self.outages)
        self.outages += is_new
        if is_new or self._pause is None:
            self._pause = next(self._pauses)
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._ring)
        return self._pause

    def succeeded(self) -> None:
        """Let the next failure be the first one in a row."""
        self._pause = None
        self._pauses = pauses(self._first, self._most)

    def cancel(self) -> None:
        """Do it no more, unless it fails once more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._again()
