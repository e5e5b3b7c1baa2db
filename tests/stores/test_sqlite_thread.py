"""The thread of a SQLite connection: what becomes of calls whose caller, or whose thread, is gone."""

import asyncio
import sqlite3
import threading

import pytest

from airlock.errors import StoreUnavailable
from airlock.stores.sqlite.thread import SqliteThread

pytestmark = pytest.mark.anyio


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def one(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT 1").fetchone()
    return int(number)


async def test_a_call_before_the_start_or_after_the_end_is_refused() -> None:
    thread = SqliteThread("t")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="closed"):
            await asyncio.wait_for(thread.call(one), 20)
        await thread.close()
        await thread.start(memory)
        assert await thread.call(one) == 1
        await thread.close()
        await thread.close()


async def test_calls_that_were_made_before_the_end_are_answered() -> None:
    thread = SqliteThread("t")
    await thread.start(memory)
    calls = [asyncio.ensure_future(thread.call(one)) for _ in range(9)]
    await asyncio.sleep(0)
    await thread.close()
    assert await asyncio.gather(*calls) == [1] * 9


async def test_a_caller_whose_event_loop_is_closed_holds_up_nobody() -> None:
    thread = SqliteThread("t")
    await thread.start(memory)
    may_end = threading.Event()

    async def leaves() -> None:
        waiting = asyncio.ensure_future(thread.call(lambda _: may_end.wait(20)))
        await asyncio.sleep(0)
        waiting.cancel()

    await asyncio.to_thread(asyncio.run, leaves())
    may_end.set()
    assert await asyncio.wait_for(thread.call(one), 20) == 1
    await thread.close()
