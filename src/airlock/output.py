"""What a script wrote to one stream, as text, as far as the limit allows."""

from __future__ import annotations

import codecs
import io


class Output:
    """Decodes as it comes: a character that arrives in two pieces stays one character."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self._left = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = io.StringIO()
        self.truncated = False

    @property
    def text(self) -> str:
        """All that is known so far."""
        return self._text.getvalue()

    def write(self, data: bytes) -> None:
        """Take more. What is over the limit is dropped."""
        if len(data) > self._left:
            self.truncated = True
            data = data[: self._left]
        self._left -= len(data)
        self._text.write(self._decoder.decode(data))

    def finish(self) -> None:
        """Say that nothing more comes: half a character at the end becomes a replacement character."""
        self._text.write(self._decoder.decode(b"", final=True))
