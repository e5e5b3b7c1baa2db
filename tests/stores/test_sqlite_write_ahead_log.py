"""The log beside the file of `store: sqlite` stays small, whoever reads."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import StoreRefused
from airlock.executions import Listing
from airlock.stores.sqlite import rows, write_ahead_log
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio

MIB = 1 << 20


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteStore]:
    monkeypatch.setattr(write_ahead_log, "MAX_SIZE", MIB)
    made = SqliteStore(SqliteSettings(path="s.db"), tmp_path)
    await made.open()
    yield made
    await made.close()


async def grow(store: SqliteStore, numbers: range) -> int:
    """Write 256 KiB for each number, and return the largest size of the log."""
    sizes = []
    for number in numbers:
        await store.create(an_execution(number, code="x" * (MIB // 4)))
        sizes.append(store.path.with_name("s.db-wal").stat().st_size)
    return max(sizes)


async def test_it_stays_small_while_lists_follow_one_another_without_a_break(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = rows.page

    def slow(*args: Any) -> Any:
        found = page(*args)
        time.sleep(0.05)  # in the transaction, of which 50 at once outlast all attempts
        return found

    async def lists() -> None:
        while True:
            await store.page(Listing(limit=9))

    monkeypatch.setattr(rows, "page", slow)
    listing = [asyncio.create_task(lists()) for _ in range(50)]
    largest = await grow(store, range(32))
    for each in listing:
        each.cancel()
    await asyncio.wait(listing)
    assert largest < 3 * MIB
    assert not caplog.records


async def test_writes_go_on_while_another_program_reads_and_it_is_emptied_afterwards(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(write_ahead_log, "ATTEMPT", 1)
    await grow(store, range(1))
    with (
        caplog.at_level(logging.WARNING),
        closing(sqlite3.connect(store.path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM executions").fetchone()
        assert await grow(store, range(1, 17)) > 4 * MIB, "the reader still needs it"
    assert 1 <= len(caplog.records) <= 5, "not one attempt for each write"
    assert "cannot be emptied while somebody reads" in caplog.text
    await grow(store, range(17, 22))
    assert await grow(store, range(22, 32)) < 3 * MIB
    assert len(await store.page(Listing(limit=99))) == 32


def test_file_without_a_log_is_refused(tmp_path: Path) -> None:
    uri = f"{(tmp_path / 's.db').as_uri()}?vfs=unix-dotfile"  # a way to lock that has no shared memory
    with (
        closing(sqlite3.connect(uri, uri=True)) as connection,
        pytest.raises(StoreRefused, match=r"set store\.path to a file on a local disk"),
    ):
        write_ahead_log.keep(connection, tmp_path / "s.db")
