"""Writes the log to a descriptor that somebody else reads, and never waits for that somebody.

A pipe that is not read (a collector that hangs, a pager) is full after 64 KiB, and whoever writes to it then stops:
the event loop, and with it the server. `logging.handlers.QueueListener` does not wait either, but hands every line to a
thread; here a thread is begun only while the other side does not keep up.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from typing import Final

ATOMIC: Final = select.PIPE_BUF  # bytes that a pipe which polls as writable takes without waiting
PATIENCE: Final = 1.0  # seconds that the end of the program waits for the reader
MAX_BACKLOG: Final = 10_000  # lines; more are dropped, and counted


class LogHandler(logging.Handler):
    """Writes to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._backlog: deque[bytes] = deque()
        self._dropped = 0
        self._keeps_up = threading.Event()  # nothing waits to be written
        self._keeps_up.set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or leave it to a thread. The lock of the handler is held."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
            if self._keeps_up.is_set():
                line = self._write_now(line)
        except OSError:  # a full disk, or a collector that died: that costs lines, not the server
            return
        except Exception:  # noqa: BLE001 - as every handler does: a mistake in a call of the log must not end what calls
            self.handleError(record)
            return
        if line:
            self._write_later(line)

    def flush(self) -> None:
        """Wait a moment for what is not written yet. The end of the program calls it."""
        self._keeps_up.wait(PATIENCE)

    def _write_now(self, line: bytes) -> bytes:
        """Write as much as goes without waiting; returns the rest."""
        while line and self._poll.poll(0):
            line = line[os.write(self._descriptor, line[:ATOMIC]) :]
        return line

    def _write_later(self, line: bytes) -> None:
        if len(self._backlog) >= MAX_BACKLOG:
            self._dropped += 1
            return
        self._backlog.append(line)
        if self._keeps_up.is_set():
            self._keeps_up.clear()
            threading.Thread(target=self._write_backlog, name="log", daemon=True).start()

    def _write_backlog(self) -> None:
        while line := self._next():
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                continue

    def _next(self) -> bytes:
        with self.lock or threading.Lock():  # `createLock` made one
            if self._backlog:
                return self._backlog.popleft()
            if self._dropped:
                record = logging.makeLogRecord(
                    {
                        "name": __name__,
                        "levelno": logging.WARNING,
                        "levelname": "WARNING",
                        "msg": "%d lines were dropped here: nobody read the log",
                        "args": (self._dropped,),
                    }
                )
                self._dropped = 0
                return f"{self.format(record)}\n".encode()
            self._keeps_up.set()
            return b""


def to_stderr() -> logging.Handler:
    """Return a handler for stderr as it is now, which need not be a descriptor."""
    try:
        return LogHandler(sys.stderr.fileno())
    except (OSError, ValueError):  # as under a test that captures what is printed
        return logging.StreamHandler()
