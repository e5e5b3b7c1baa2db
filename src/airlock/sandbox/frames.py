"""A stream of bytes, cut into the frames of the worker protocol. Whoever sent them may be hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from airlock.errors import ProtocolViolation
from airlock.worker import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TOTAL: Final = 256 << 20  # bytes that one execution may send besides prompts: reading costs the neighbours' time


class FrameTooLarge(ProtocolViolation):
    """Raised when a frame announces more bytes than any frame may have."""

    def __init__(self, kind: int, size: int, most: int) -> None:
        super().__init__(f"the sandbox sent a frame of {size} bytes; {most} is the most")
        self.kind = kind
        self.size = size


class FrameReader:
    """Cuts a stream of bytes into frames. Holds at most one frame's bytes; knows no meaning."""

    def __init__(self, max_frame: int, max_total: int = MAX_TOTAL) -> None:
        self._max_frame = max_frame
        self._left = max_total
        self._buffer = bytearray()

    def allow(self, size: int) -> None:
        """Let that many bytes come beyond the total."""
        self._left += size

    @property
    def is_amid_frame(self) -> bool:
        """Whether a frame has begun that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what was received and yield (kind, body) of every frame that is complete.

        Raises ProtocolViolation when a frame announces more than `max_frame` bytes, or more than the total in all.
        """
        self._left -= len(data)
        if self._left < 0:
            raise ProtocolViolation("the sandbox sent too many bytes of frames")
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= codec.HEADER.size:
                size, kind = codec.HEADER.unpack_from(self._buffer, start)
                if size > self._max_frame:
                    raise FrameTooLarge(kind, size, self._max_frame)
                end = start + codec.HEADER.size + size
                if len(self._buffer) < end:
                    return
                body = bytes(self._buffer[start + codec.HEADER.size : end])
                start = end
                yield kind, body
        finally:
            del self._buffer[:start]
