"""Retries with growing pauses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pauses(first: float, most: float) -> Iterator[float]:
    """Yield the seconds before each retry: `first`, then twice as many each time, up to `most`."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, most)


class Retry:
    """At most one pending retry; the pause before it doubles with each failure in a row."""

    def __init__(self, again: Callable[[], object], *, first: float, most: float) -> None:
        """Call `again` after `first` seconds, then after twice as many each time, up to `most`."""
        self._again = again
        self._first = first
        self._most = most
        self._pause: float | None = None  # before the last retry; None after a success
        self._pauses = pauses(first, most)
        self.outages = 0  # failures, without those that `failed` attributes to an earlier one
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_pending(self) -> bool:
        """Whether a retry is pending."""
        return self._timer is not None

    def failed(self, begun: int | None = None) -> float:
        """Schedule a retry; returns the seconds until then.

        When several attempts run at once, each passes `outages` as it was when the attempt began. An attempt that began
        before the last failure belongs to that failure, and does not make the pause longer.
        """
        self.cancel()
        is_new = begun in (None, self.outages)
        self.outages += is_new
        if is_new or self._pause is None:
            self._pause = next(self._pauses)
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._ring)
        return self._pause

    def succeeded(self) -> None:
        """Make the next failure the first in a row."""
        self._pause = None
        self._pauses = pauses(self._first, self._most)

    def cancel(self) -> None:
        """Cancel the pending retry, if any."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._again()
