"""`store: sqlite` reads on connections of its own, which wait for nobody."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.stores.held import held

from airlock.errors import StoreUnavailable
from airlock.executions import Execution, Listing
from airlock.models import ExecutionStatus
from airlock.stores.sqlite import rows
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(SqliteSettings(path="s.db"), tmp_path)
    await made.open()
    yield made
    await made.close()


async def finish(store: SqliteStore, number: int) -> Execution:
    await store.create(an_execution(number, idempotency_key=str(number)))
    over = {"status": ExecutionStatus.error, "finished_at": time.time()}
    return await store.transition(str(number), 0, over)


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
async def test_finished_ones_are_found_while_writes_queue_up_behind_another_process(
    store: SqliteStore, how: str
) -> None:
    over = await finish(store, 0)
    with held(store.path, how):
        writing = [asyncio.ensure_future(store.create(an_execution(number))) for number in range(1, 9)]
        await asyncio.sleep(0.1)
        for _ in range(100):
            assert await store.get("0") == over
            assert await store.find(None, "0") == over
            assert await store.page(Listing(limit=9)) == [over.summary()]
        assert not any(each.done() for each in writing)
    await asyncio.gather(*writing)
    assert len(await store.page(Listing(limit=99))) == 9


async def test_who_was_told_of_a_change_reads_it(store: SqliteStore) -> None:
    async def each(number: int) -> None:
        await store.create(an_execution(number, idempotency_key=str(number)))
        assert await store.find(None, str(number)) == an_execution(number, idempotency_key=str(number))
        assert str(number) in {summary.id for summary in await store.page(Listing(limit=9999))}
        over = await store.transition(str(number), 0, {"status": ExecutionStatus.error, "finished_at": time.time()})
        assert await store.get(str(number)) == over
        assert await store.find(None, str(number)) == over
        assert over.summary() in await store.page(Listing(limit=9999))

    for begin in range(0, 200, 20):
        await asyncio.gather(*map(each, range(begin, begin + 20)))


async def test_one_that_is_committed_but_not_returned_yet_is_not_found_by_its_key(store: SqliteStore) -> None:
    """Whoever found it could ask for it before it runs."""
    made = an_execution(0, idempotency_key="k")
    with closing(sqlite3.connect(store.path)) as other, other:
        rows.insert(other, made)
    assert await store.find(None, "k") is None
    assert await store.create(an_execution(1, idempotency_key="k")) == made


async def test_closing_leaves_no_log(store: SqliteStore) -> None:
    await finish(store, 0)
    await store.get("0")
    await store.page(Listing(limit=9))
    await store.close()
    assert {path.name for path in store.path.parent.iterdir()} == {"s.db", "s.db.lock"}
    await store.open()


async def test_a_list_that_takes_long_holds_up_no_poll(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    over = await finish(store, 0)
    may_end = threading.Event()
    monkeypatch.setattr(rows, "page", lambda *_: may_end.wait(20))
    listing = asyncio.ensure_future(store.page(Listing(limit=9)))
    assert await asyncio.wait_for(store.get("0"), 10) == over
    assert not listing.done()
    may_end.set()
    await listing


async def test_writes_behind_another_process_fail_together(store: SqliteStore) -> None:
    await store._writer.call(lambda connection: connection.execute("PRAGMA busy_timeout = 500").fetchone())
    began = time.monotonic()
    with held(store.path):
        told = await asyncio.gather(*(store.create(an_execution(n)) for n in range(9)), return_exceptions=True)
    assert [type(each) for each in told] == [StoreUnavailable] * 9
    assert time.monotonic() - began < 3, "not one after the other"
    assert await store.page(Listing(limit=9)) == []
    assert await store.create(an_execution(0)) == an_execution(0)


async def test_readers_cannot_write(store: SqliteStore) -> None:
    for reader in (store._reader, store._lister):
        with pytest.raises(StoreUnavailable, match="readonly"):
            await reader.call(lambda connection: connection.execute("DELETE FROM executions"))


async def test_no_other_program_can_end_the_log_while_the_file_is_open(store: SqliteStore) -> None:
    with (
        closing(sqlite3.connect(store.path, timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("PRAGMA journal_mode = DELETE")


async def test_file_that_another_program_gave_another_journal_gets_its_log_back(tmp_path: Path) -> None:
    for _ in range(2):
        made = SqliteStore(SqliteSettings(path="s.db"), tmp_path)
        await made.open()
        over = await finish(made, 0) if await made.get("0") is None else await made.get("0")
        with held(made.path):
            writing = asyncio.ensure_future(made.create(an_execution(1)))
            assert await made.get("0") == over
            assert not writing.done()
        await writing
        await made.close()
        with closing(sqlite3.connect(made.path)) as other:
            other.execute("DELETE FROM executions WHERE id = '1'")
            other.commit()
            assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
