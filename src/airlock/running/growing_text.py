"""Text that only grows, and is read in pieces while it does."""

from __future__ import annotations

import io
from bisect import bisect_right
from typing import Final

PIECE: Final = 64 << 10  # characters, at least


class GrowingText:
    """What was written so far. An `io.StringIO` takes four bytes for each character once it is read anywhere."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last = io.StringIO()
        self._starts = [0]  # of the pieces, and of the last one, which grows

    def __len__(self) -> int:
        return self._starts[-1] + self._last.tell()

    def write(self, text: str) -> None:
        """Take more."""
        self._last.write(text)
        if self._last.tell() >= PIECE:
            self._starts.append(len(self))
            self._pieces.append(self._last.getvalue())
            self._last = io.StringIO()

    def getvalue(self) -> str:
        """Return all of it."""
        if len(self._pieces) != 1 or self._last.tell():
            whole = "".join((*self._pieces, self._last.getvalue()))
            self._pieces, self._starts, self._last = [whole], [0, len(whole)], io.StringIO()
        return self._pieces[0]  # which whoever stores it shares

    def read(self, start: int, most: int) -> str:
        """Return at most so many characters from `start` on; none only at the end."""
        number = bisect_right(self._starts, start) - 1
        piece = self._pieces[number] if number < len(self._pieces) else self._last.getvalue()
        offset = start - self._starts[number]
        return piece[offset : offset + most]
