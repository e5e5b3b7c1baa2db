"""How a thread calls the async client: a portal is an event loop in a thread of its own.

anyio has portals too. This one takes half as long for a call, runs callbacks in the calling thread, waits after an
interruption until the coroutine has ended, and ends by itself once it is unreachable.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import weakref
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads. Its own thread starts with the first coroutine."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        """`at_end` is awaited after all coroutines have ended."""
        self._at_end = at_end
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def perform(self, function: Callable[[], Awaitable[T]], caller: Caller) -> T:
        """Return or raise what the async function does. If interrupted, cancel it first and wait for its end.

        Raises RuntimeError after `close`.
        """
        tasks: list[asyncio.Task[T]] = []

        async def work() -> T:
            return await function()

        def begin() -> None:
            tasks.append(asyncio.get_running_loop().create_task(work()))
            tasks[0].add_done_callback(caller.leave)

        def end() -> None:
            tasks[0].cancel()

        self._soon(begin)
        try:
            caller.attend()
        except BaseException:
            with contextlib.suppress(RuntimeError):  # closed: it is already being cancelled
                self._soon(end)
            caller.wait()
            raise
        try:
            return tasks[0].result()
        except asyncio.CancelledError:
            raise RuntimeError("the client was closed during the call") from None

    def close(self) -> None:
        """Cancel all coroutines and end the thread. Safe to repeat."""
        with self._lock:
            self._is_closed = True
            if self._loop is not None:
                _stop(self._loop)
        if self._thread is not None:
            self._thread.join()

    def _soon(self, do: Callable[[], object]) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the client is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # a daemon: a client that is never closed does not keep the program from ending
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop, self._at_end), name="airlock-client", daemon=True
                )
                self._thread.start()
                weakref.finalize(self, _stop, self._loop).atexit = False
            self._loop.call_soon_threadsafe(do)


class Caller:
    """A thread that waits for a coroutine, and meanwhile makes the calls that the coroutine needs in this thread."""

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        self._inbox: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # None: the coroutine has ended

    def here(self, function: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
        """Return an async function that calls this one in the waiting thread."""

        async def call(*arguments: object) -> T:
            outcome: Future[Callable[[], T]] = Future()
            self._inbox.put(partial(_call, partial(function, *arguments), outcome))
            return (await asyncio.wrap_future(outcome))()

        return call

    def beside(self, function: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
        """Return an async function that calls this one in a new thread."""

        async def call(*arguments: object) -> T:
            outcome: Future[Callable[[], T]] = Future()
            context = self._context.copy()  # so that traces of LLM calls keep their parent
            target = partial(context.run, self._call_beside, partial(function, *arguments), outcome)
            # a daemon: an abandoned LLM call does not keep the program from ending
            threading.Thread(target=target, daemon=True).start()
            return (await asyncio.wrap_future(outcome))()

        return call

    def attend(self) -> None:
        """Make the coroutine's calls until it has ended."""
        while (work := self._inbox.get()) is not None:
            work()

    def wait(self) -> None:
        """Wait until the coroutine has ended, without making its calls."""
        while self._inbox.get() is not None:
            pass

    def leave(self, _: object) -> None:
        """Say that the coroutine has ended."""
        self._inbox.put(None)

    def _call_beside(self, function: Callable[[], T], outcome: Future[Callable[[], T]]) -> None:
        try:
            _call(function, outcome)
        except BaseException as error:  # noqa: BLE001 - for example SystemExit: raised in the waiting thread
            self._inbox.put(partial(_raise, error))


def _call(function: Callable[[], T], outcome: Future[Callable[[], T]]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        value = function()
    except Exception as error:  # noqa: BLE001 - raised in the coroutine; as a result, because StopIteration is possible
        outcome.set_result(partial(_raise, error))
    else:
        outcome.set_result(lambda: value)


def _raise(error: BaseException) -> NoReturn:
    raise error


def _serve(loop: asyncio.AbstractEventLoop, at_end: Callable[[], Awaitable[None]]) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end(loop, at_end))
    finally:
        loop.close()


async def _end(loop: asyncio.AbstractEventLoop, at_end: Callable[[], Awaitable[None]]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await at_end()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed
        loop.call_soon_threadsafe(loop.stop)
