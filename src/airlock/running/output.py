"""A script's output, within its limit: text that only grows and can be read in pieces meanwhile."""

from __future__ import annotations

import codecs
import io
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from airlock.units import format_size

if TYPE_CHECKING:
    from airlock.backends import Stream
    from airlock.secrets import RedactingStream, Redactor

PIECE: Final = 64 << 10  # least number of characters in one piece of text
MAX_TAIL: Final = 8 << 10  # bytes; room for a traceback after a flood


class GrowingText:
    """The text written so far. One `io.StringIO` would take four bytes per character once it is read."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last = io.StringIO()
        self._starts = [0]  # of the pieces, and of the last one, which grows

    def __len__(self) -> int:
        return self._starts[-1] + self._last.tell()

    def write(self, text: str) -> None:
        """Append text."""
        self._last.write(text)
        if self._last.tell() >= PIECE:
            self._starts.append(len(self))
            self._pieces.append(self._last.getvalue())
            self._last = io.StringIO()

    def getvalue(self) -> str:
        """Return the whole text."""
        if len(self._pieces) != 1 or self._last.tell():
            whole = "".join((*self._pieces, self._last.getvalue()))
            self._pieces, self._starts, self._last = [whole], [0, len(whole)], io.StringIO()
        return self._pieces[0]  # one object, shared with the stored record

    def read(self, start: int, most: int) -> str:
        """Return at most `most` characters from `start` on; an empty text only at the end."""
        number = bisect_right(self._starts, start) - 1
        piece = self._pieces[number] if number < len(self._pieces) else self._last.getvalue()
        offset = start - self._starts[number]
        return piece[offset : offset + most]


class Output:
    """Decodes a stream as it arrives: a character that comes in two pieces stays one character.

    When output is too long, its middle is dropped: the end often matters most, and is not known before the script
    ends. Until then `text` has the beginning, and only grows. Secrets are redacted first, so cutting cannot hide one.
    """

    def __init__(self, limit: int, redacting: RedactingStream | None = None) -> None:
        """Keep at most `limit` bytes."""
        self._redacting = redacting
        self._limit = limit
        self._max_tail = min(limit // 8, MAX_TAIL)
        self._left = limit - self._max_tail
        self._tail = bytearray()
        self._dropped = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = GrowingText()

    @property
    def text(self) -> str:
        """The text so far, without an end that may begin a secret."""
        self._catch_up()
        return self._text.getvalue()

    def read(self, start: int, most: int) -> str:
        """Return at most `most` characters from `start` on, without copying the rest."""
        self._catch_up()
        return self._text.read(start, most)

    @property
    def truncated(self) -> bool:
        """Whether output was dropped."""
        self._catch_up()
        return self._dropped > 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._redacting is None:
            self._take(data)
        elif self._redacting.write(data):
            self._catch_up()

    def _catch_up(self) -> None:
        if self._redacting is not None:
            self._take(self._redacting.read())

    def _take(self, data: bytes) -> None:
        if self._left:
            self._text.write(self._decoder.decode(data[: self._left]))
            data, self._left = data[self._left :], max(0, self._left - len(data))
        if data:
            self._tail += data
            surplus = max(0, len(self._tail) - self._max_tail)
            self._dropped += surplus
            del self._tail[:surplus]

    def finish(self) -> None:
        """End the stream: half a character at the end becomes a replacement character."""
        if self._redacting is not None:
            self._take(self._redacting.finish())
        if self._dropped:
            self._text.write(self._decoder.decode(b"", final=True))
            self._text.write(f"\n[{self._dropped} bytes dropped here: limits.output is {format_size(self._limit)}]\n")
            while self._tail and self._tail[0] & 0xC0 == 0x80:  # the rest of a character whose beginning was dropped
                del self._tail[0]
        self._text.write(self._decoder.decode(bytes(self._tail), final=True))
        self._tail.clear()


class Outputs:
    """Both streams of one execution."""

    def __init__(self, limit: int, redactor: Redactor) -> None:
        """Keep at most `limit` bytes of each."""
        self._streams: dict[Stream, Output] = {
            "stdout": Output(limit, redactor.stream()),
            "stderr": Output(limit, redactor.stream()),
        }

    def read(self, stream: Stream, start: int, most: int) -> str:
        """See `Output.read`."""
        return self._streams[stream].read(start, most)

    def write(self, stream: Stream, data: bytes) -> None:
        """See `Output.write`."""
        self._streams[stream].write(data)

    def finish(self) -> None:
        """See `Output.finish`."""
        for output in self._streams.values():
            output.finish()

    def fields(self) -> dict[str, str | bool]:
        """Return the output so far, by field of the record."""
        texts: dict[str, str | bool] = {stream: output.text for stream, output in self._streams.items()}
        return {**texts, "truncated": any(output.truncated for output in self._streams.values())}
