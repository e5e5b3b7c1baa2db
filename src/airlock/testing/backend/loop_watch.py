"""Finds calls that block the event loop: in a server they would stop every project."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BLOCKED: Final = 0.25  # seconds without a turn of the loop that are reported; those of other programs do not count
PERIOD: Final = 0.02
_DEPTH: Final = 8  # frames in a report


async def check_never_blocks(use: Callable[[], Awaitable[object]], patience: float) -> None:
    """Fail if `use` blocks the loop each of three times: a slow machine blocks it only now and then."""
    for _ in range(3):
        with LoopWatch(patience) as watch:
            await use()
        if not watch.blocks:
            return
    pytest.fail(f"the event loop was blocked, which stops every project of a server:\n{watch.blocks[0]}", pytrace=False)


class LoopWatch:
    """Watches the running loop from another thread, during the block. `blocks` says where it was blocked.

    A call that does not return within `patience` is interrupted, where possible, and the test fails.
    """

    def __init__(self, patience: float) -> None:
        self.blocks: list[str] = []
        self._patience = patience
        self._ending = threading.Lock()
        self._is_over = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._scheduling = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._can_interrupt = threading.current_thread() is threading.main_thread()
        if self._can_interrupt:  # otherwise the suite hangs, as it would without a watch
            self._before: Any = signal.signal(signal.SIGUSR2, self._give_up)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._ending:
            self._is_over = True
        if self._can_interrupt and self._before is not None:  # None: a handler that Python cannot restore
            signal.signal(signal.SIGUSR2, self._before)

    def _watch(self) -> None:
        while True:
            time.sleep(PERIOD)
            has_turned = threading.Event()
            asked = self._time()
            with self._ending:  # the loop stays open meanwhile
                if self._is_over:
                    return
                self._loop.call_soon_threadsafe(has_turned.set)
            while (left := asked + BLOCKED - self._time()) > 0 and not has_turned.wait(left):
                pass
            if has_turned.is_set() or (place := self._place()) is None:
                continue
            self.blocks.append(place)
            if not has_turned.wait(self._patience):
                self._interrupt()

    def _time(self) -> float:
        """Return seconds, without those in which the loop's thread was ready but the kernel ran others."""
        try:
            waited = int(self._scheduling.read_text().split()[1])
        except OSError:  # the kernel does not tell, or the thread has ended
            waited = 0
        return time.monotonic() - waited / 1e9

    def _interrupt(self) -> None:
        with self._ending:
            if not self._is_over and self._can_interrupt:
                signal.pthread_kill(self._watched, signal.SIGUSR2)

    def _place(self) -> str | None:
        """Say where the loop's thread is now; None if it waits for events, and only the machine is slow."""
        frame = sys._current_frames().get(self._watched)
        if frame is None:
            return None
        stack = traceback.extract_stack(frame)
        turns = [number for number, entry in enumerate(stack) if entry.filename.endswith("asyncio/events.py")]
        if not turns and stack[-1].name == "select":
            return None
        return "".join(traceback.format_list(stack[max([0, *turns]) + 1 :][:_DEPTH]))

    def _give_up(self, *_: object) -> NoReturn:
        place = "".join(self.blocks[-1:])  # empty if an outer watch gave up
        pytest.fail(f"the event loop was blocked for more than {self._patience:g} s:\n{place}", pytrace=False)
