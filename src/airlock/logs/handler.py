"""Writes the log to a descriptor that another program reads, and never waits for that program.

A pipe that is not read (a collector that hangs, a pager) is full after 64 KiB; then whoever writes to it stops: the
event loop, and with it the server. `logging.handlers.QueueListener` does not wait either, but hands every line to a
thread; here a thread is started only while the reader does not keep up.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from typing import Final

ATOMIC: Final = select.PIPE_BUF  # bytes that a pipe which polls as writable accepts without blocking
PATIENCE: Final = 1.0  # seconds that the program waits for the reader when it exits
MAX_BACKLOG: Final = 10_000  # lines; more are dropped and counted


class LogHandler(logging.Handler):
    """Writes records to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._backlog: deque[bytes] = deque()
        self._dropped = 0
        self._keeps_up = threading.Event()  # the backlog is empty
        self._keeps_up.set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or leave it to a thread. `logging` holds the handler's lock."""
        line = self._encoded(record)
        try:
            if self._keeps_up.is_set():
                line = self._write_now(line)
        except OSError:  # a full disk, or a collector that died: lines are lost, the server goes on
            return
        if line:
            self._write_later(line)

    def flush(self) -> None:
        """Wait a moment for what is not written yet. `logging` calls it when the program exits."""
        self._keeps_up.wait(PATIENCE)

    def _encoded(self, record: logging.LogRecord) -> bytes:
        """Format a record, or log that this failed: its arguments do not fit its text, say.

        `handleError` would print the arguments as they are, with secrets and line breaks, and wait for the reader.
        """
        try:
            text = self.format(record)
        except Exception as error:  # noqa: BLE001 - a mistake in a call of the log must not end its caller
            place = f"{record.pathname}:{record.lineno}"
            text = self.format(_own_record(logging.ERROR, "%s: this line cannot be logged", place, error=error))
        return f"{text}\n".encode("utf-8", "backslashreplace")

    def _write_now(self, line: bytes) -> bytes:
        """Write as much as possible without blocking, and return the rest."""
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
        with self.lock or threading.Lock():  # `createLock` has set it
            if self._backlog:
                return self._backlog.popleft()
            if self._dropped:
                text = "%d lines were dropped here: nothing was reading the log"
                record = _own_record(logging.WARNING, text, self._dropped)
                self._dropped = 0
                return self._encoded(record)
            self._keeps_up.set()
            return b""


def _own_record(level: int, text: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord(__name__, level, __file__, 0, text, args, exc_info)


def to_stderr() -> logging.Handler:
    """Return a handler for the current stderr, which may have no descriptor."""
    try:
        return LogHandler(sys.stderr.fileno())
    except (OSError, ValueError):  # as in a test that captures output
        return logging.StreamHandler()
