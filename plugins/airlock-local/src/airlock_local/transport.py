"""One execution's descriptors on the server's side: the frame socket and the two output pipes."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock import Stream

PIPE_SIZE: Final = 256 << 10  # bytes; an output up to this needs nobody to read while the script runs
READ_SIZE: Final = 64 << 10
READS_PER_TURN: Final = 4  # a flood gets this much of the event loop, then others have their turn
REST_SIZE: Final = 4 << 20  # bytes read after the end; a script may have made its pipe as large as 1 MiB


class FrameSocket:
    """Sends without ever blocking: what the socket does not take now is kept and sent later."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._number = self.ours.fileno()  # the event loop is quicker with numbers than with sockets
        self._unsent = bytearray()
        self._loop = asyncio.get_running_loop()

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Call this whenever something arrived, or the other end is gone."""
        self._loop.add_reader(self._number, on_readable)

    def unwatch(self) -> None:
        """Read and write no more."""
        self._loop.remove_reader(self._number)
        self._loop.remove_writer(self._number)

    def receive(self) -> bytes | None:
        """Return what is there; b"" when the other end is gone, None when nothing is."""
        try:
            return self.ours.recv(READ_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def receive_descriptor(self) -> tuple[bytes, int]:
        """Return the first message, and the descriptor that came with it, or -1."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.ours, READ_SIZE, 1)
        except OSError:
            return b"", -1
        return data, descriptors[0] if descriptors else -1

    def send(self, data: bytes) -> int:
        """Send, now or later. Returns how many bytes are still to be sent."""
        self._unsent += data
        self._flush()
        return len(self._unsent)

    def close(self) -> None:
        """Close both ends that are still ours."""
        if self.ours.fileno() >= 0:
            self.unwatch()
        self.ours.close()
        self.theirs.close()

    def _flush(self) -> None:
        try:
            sent = self.ours.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(self._unsent)  # the other end is gone, which the reader finds out
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._number, self._flush)
        else:
            self._loop.remove_writer(self._number)


class OutputPipe:
    """stdout or stderr of a script. Always read to the end: a script never has to wait for a reader."""

    def __init__(self, stream: Stream, owner: int | None) -> None:
        self._stream = stream
        self._write: Callable[[Stream, bytes], None] = _nobody
        self._loop = asyncio.get_running_loop()
        self._read, self.theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read, False)
        if owner is not None:
            os.fchown(self._read, owner, owner)  # otherwise a script may not open its own /dev/stdout
        try:
            fcntl.fcntl(self._read, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except PermissionError:
            return  # scripts of an ordinary user share his allowance of pipe memory, and one of them used it up

    def close_theirs(self) -> None:
        """Close the end that was handed over."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def connect(self, write: Callable[[Stream, bytes], None]) -> None:
        """Say where to hand over what is read."""
        self._write = write

    def watch(self) -> None:
        """Hand over what comes, as it comes."""
        self._loop.add_reader(self._read, self._pump)

    def hand_over(self, most: int = PIPE_SIZE) -> None:
        """Hand over what is there now, of `most` bytes: something may go on writing."""
        while most > 0 and (data := self._next()):
            self._write(self._stream, data)
            most -= len(data)

    def finish(self) -> None:
        """Hand over what is left, and read no more."""
        self._loop.remove_reader(self._read)
        self.hand_over(REST_SIZE)
        self._write = _nobody  # it holds the execution's output, of which a worker keeps nothing

    def _pump(self) -> None:
        for _ in range(READS_PER_TURN):
            data = self._next()
            if data:
                self._write(self._stream, data)
            elif data is not None:
                self._loop.remove_reader(self._read)
            if not data or len(data) < READ_SIZE:
                return

    def close(self) -> None:
        """Close what is still ours."""
        self._loop.remove_reader(self._read)
        self.close_theirs()
        os.close(self._read)

    def _next(self) -> bytes | None:
        try:
            return os.read(self._read, READ_SIZE)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None


def _nobody(stream: Stream, data: bytes) -> None:
    """Take what nobody asked for."""
