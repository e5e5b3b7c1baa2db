"""A thread that works on a SQLite file. Calls that arrive meanwhile share a transaction: commits are what costs."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from airlock.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

MAX_BATCH: Final = 256


class _Work(NamedTuple):
    function: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]

    def finish(self, result: Any) -> None:
        """Pass the result to the caller, in the thread of the event loop."""
        if self.done.done():
            return
        if isinstance(result, BaseException):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class SqliteThread:
    """Runs functions on one connection, in the order of the calls."""

    def __init__(
        self,
        name: str,
        *,
        max_batch: int = MAX_BATCH,
        afterwards: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """At most `max_batch` calls share a transaction. `afterwards` is called when it has ended, and never raises."""
        self._name = name
        self._max_batch = max_batch
        self._afterwards = afterwards
        self._closing = threading.Lock()  # held while something is queued, so that nothing is queued after the end
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None

    async def start(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Connect, and start the thread. Raises what `connect` raises."""
        self._connection = await asyncio.get_running_loop().run_in_executor(None, connect)
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the function returns, once it is committed.

        Raises StoreUnavailable when the file cannot be read or written for now, or is closed; then nothing has changed.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._closing:
            if self._thread is None:
                raise StoreUnavailable("the store is closed")
            self._queue.put(_Work(function, done))
        return await done

    async def close(self) -> None:
        """Finish pending work, and end the thread."""
        with self._closing:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, thread.join)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[_Work] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) == self._max_batch or self._queue.empty():
                    break
                item = self._queue.get()
            stopping = item is None
            self._do(batch)

    def _do(self, batch: list[_Work]) -> None:
        for work, result in zip(batch, self._results(batch), strict=True):
            with contextlib.suppress(RuntimeError):  # the caller's event loop is closed, and the thread goes on
                work.done.get_loop().call_soon_threadsafe(work.finish, result)
        if self._afterwards is not None and self._connection is not None:
            self._afterwards(self._connection)

    def _results(self, batch: list[_Work]) -> list[Any]:
        """Run all of them in one transaction; if that fails, each in its own, so that none fails because of another."""
        if len(batch) > 1:
            try:
                with self._transaction() as connection:
                    return [work.function(connection) for work in batch]
            except Exception as error:  # noqa: BLE001 - the one that fails fails again below, and its caller gets it
                if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":  # each would wait as long once more
                    return [_unavailable(error) for _ in batch]
        return [self._result(work) for work in batch]

    def _result(self, work: _Work) -> Any:
        try:
            with self._transaction() as connection:
                return work.function(connection)
        except sqlite3.Error as error:
            return _unavailable(error)
        except Exception as error:  # noqa: BLE001 - it is the caller's, and the thread goes on
            return error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection is None:
            raise sqlite3.ProgrammingError("the file is not open")
        connection.execute("BEGIN")  # takes no lock before it writes, so reads work on a full disk
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite rolls back by itself after some errors, such as a full disk
                connection.execute("ROLLBACK")
            raise


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the store is unavailable for now: {error}")
