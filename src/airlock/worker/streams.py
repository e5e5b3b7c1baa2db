"""The standard streams of a script: opened as CPython opens them on pipes, but what is printed is soon seen."""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import signal
import sys
import time
from _thread import allocate_lock, get_native_id, start_new_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = 64  # lines between two looks at the clock
FAST = 0.005  # seconds: who prints a row in less writes in blocks
BLOCK_TIME = 0.1  # seconds
REST_TIME = 0.01  # seconds
ALL_SIGNALS = signal.valid_signals()


def open_standard_streams() -> None:
    """Give scripts UTF-8 streams on descriptors 0 to 2, where there are pipes when a script runs."""
    # errors as CPython has it in the locale C.UTF-8, see `get_error_handler` in initconfig.c
    sys.stdin = sys.__stdin__ = _open(0, "<stdin>", "r", "surrogateescape")  # type: ignore[misc]
    with _pipe_at(1), _pipe_at(2):
        sys.stdout = sys.__stdout__ = _open(1, "<stdout>", "w", "surrogateescape")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _open(2, "<stderr>", "w", "backslashreplace")  # type: ignore[misc]
    Blocks(sys.stdout)


def _open(descriptor: int, name: str, mode: str, errors: str) -> Any:
    """Do what `create_stdio` in CPython's pylifecycle.c does; but stdout is line-buffered, as if on a terminal."""
    buffer: Any = open(descriptor, f"{mode}b", closefd=False)  # noqa: SIM115
    buffer.raw.name = name
    stream: Any = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=mode == "w")
    stream.mode = mode
    return stream


@contextlib.contextmanager
def _pipe_at(descriptor: int) -> Iterator[None]:
    """Have a pipe there, for a stream finds out only once whether it can seek."""
    kept, pipe = os.dup(descriptor), os.pipe()
    try:
        os.dup2(pipe[1], descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        for each in (kept, *pipe):
            os.close(each)


class Blocks:
    """Lets a script that prints many lines write them in blocks, which takes a seventh of the time.

    A line-buffered stream flushes its buffer after each line: that is where lines are counted. When a row of them came
    fast, the stream is block-buffered for a moment, at the end of which a thread flushes it and makes it line-buffered
    again. No line waits longer than that moment, and a script that prints now and then never has the thread. It is gone
    before a fork: threads do not survive one, and CPython 3.12 warns of them. What several threads print is never in
    blocks, for before CPython 3.11.10 and 3.12.5 some of it would be lost (python/cpython#119506): a block ends before
    the script starts a thread, and none begins while there is one.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._flush = stream.buffer.flush
        self._lines = 0
        self._since = 0.0
        self._is_block = False
        self._thread = 0  # its id for the kernel
        self._hurry = allocate_lock()  # held; released to cut a block short
        self._hurry.acquire()
        self._is_watching = False
        stream.buffer.flush = self._flush_and_count

    def _flush_and_count(self) -> None:
        self._flush()
        self._lines += 1
        if self._lines >= ROW:
            now = time.monotonic()
            is_fast = now - self._since < FAST
            self._since, self._lines = now, 0
            if is_fast and not self._is_block and len(sys._current_frames()) == 1:
                self._begin()

    def _begin(self) -> None:
        if not self._is_watching:  # not earlier: a worker that forks has no use for it
            os.register_at_fork(before=self._settle)
            if sys.version_info < (3, 13):  # there is no other way to hear of a thread in all of them
                _thread.start_new_thread = self._start_thread
                if (threading := sys.modules.get("threading")) is not None:
                    threading._start_new_thread = self._start_thread  # type: ignore[attr-defined]
            self._is_watching = True
        self._is_block = True
        try:
            start_new_thread(self._end, ())
        except RuntimeError:  # there may be no more threads
            self._is_block = False
        else:
            with contextlib.suppress(ValueError):  # the script detached or closed it
                self._stream.reconfigure(line_buffering=False)

    def _end(self) -> None:
        """Be the thread."""
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)  # they are for the script's threads
            self._thread = get_native_id()
            is_over = not self._hurry.acquire(timeout=BLOCK_TIME)
            with contextlib.suppress(ValueError, OSError):  # the script meets the same error when it prints or ends
                self._stream.reconfigure(line_buffering=True)  # flushes
            if is_over:
                # A print that waited for our flush thinks that the stream is block-buffered still.
                self._hurry.acquire(timeout=REST_TIME)
            with contextlib.suppress(ValueError, OSError):
                self._flush()
        finally:
            self._is_block = False

    def _start_thread(self, *arguments: Any, **named: Any) -> int:
        """Stand in for `_thread.start_new_thread`."""
        self._settle()
        return start_new_thread(*arguments, **named)

    def _settle(self) -> None:
        """End the block, and wait until the kernel has buried the thread."""
        while self._is_block:
            with contextlib.suppress(RuntimeError):  # it is about to wake
                self._hurry.release()
            time.sleep(0.0001)
        while self._thread and os.path.exists(f"/proc/self/task/{self._thread}"):
            time.sleep(0.0001)
        self._thread = 0
