"""The attached streams of one container, under asyncio. Always read, whatever the reader thinks of it."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

HEADER: Final = struct.Struct(">B3xI")  # of the daemon: which stream, how many bytes
STDOUT, STDERR = 1, 2
MAX_LAST_WORDS: Final = 4_000  # bytes of stderr that are kept


class Attachment(asyncio.Protocol):
    """Takes the daemon's two streams apart. Made by `attach`."""

    def __init__(self, on_stdout: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_stdout = on_stdout
        self._on_end = on_end
        self._buffer = bytearray()
        self._stream = STDOUT
        self._left = 0  # bytes of the piece that has begun
        self._stderr = bytearray()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def attach(
        cls, sock: socket.socket, on_stdout: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> Attachment:
        """Take over a stream that `Engine.launch` returned."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_unix_connection(lambda: cls(on_stdout, on_end), sock=sock)
        return made

    @property
    def last_words(self) -> str:
        """What the container said on stderr, its end."""
        return self._stderr.decode(errors="replace").strip()

    def send(self, data: bytes) -> int:
        """Send to the container's stdin, now or later. Returns how many bytes are still to be sent."""
        if self._transport is None:
            return 0
        self._transport.write(data)
        return self._transport.get_write_buffer_size()

    def send_end(self) -> None:
        """Close the container's stdin."""
        if self._transport is not None and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Let go, whatever is still on its way."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # which uvloop's does not derive from

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._buffer += data
        start = 0
        while True:
            if not self._left:
                if len(self._buffer) - start < HEADER.size:
                    break
                self._stream, self._left = HEADER.unpack_from(self._buffer, start)
                start += HEADER.size
            piece = bytes(self._buffer[start : start + self._left])
            if not piece:
                break
            start += len(piece)
            self._left -= len(piece)
            if self._stream == STDOUT:
                self._on_stdout(piece)
            else:
                self._stderr += piece
                del self._stderr[:-MAX_LAST_WORDS]
        del self._buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_end()
