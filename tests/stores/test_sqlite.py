"""`store: sqlite` on a real file: what it refuses, what it forgets, and what it does on a full disk."""

import contextlib
import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from airlock.errors import StoreRefused, StoreUnavailable
from airlock.executions import Listing
from airlock.models import ExecutionStatus
from airlock.stores.sqlite import migration
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio

Status = ExecutionStatus


async def opened(directory: Path, **settings: Any) -> SqliteStore:
    store = SqliteStore(SqliteSettings(path="s.db", **settings), directory)
    await store.open()
    return store


async def finish(store: SqliteStore, number: int, **more: Any) -> None:
    await store.create(an_execution(number))
    await store.transition(str(number), 0, {"status": Status.error, "finished_at": time.time(), **more})


async def known(store: SqliteStore, count: int) -> list[int]:
    return [number for number in range(count) if await store.get(str(number)) is not None]


async def make_file(directory: Path) -> Path:
    store = await opened(directory)
    for number in range(200):
        await finish(store, number, stdout="x" * 500)
    await store.close()
    return store.path


async def refused(directory: Path) -> str:
    store = SqliteStore(SqliteSettings(path="s.db"), directory)
    with pytest.raises(StoreRefused) as refusal:
        await store.open()
    await store.close()
    return str(refusal.value)


# --- what is refused, and stays as it is -----------------------------------------------------------------------------


async def test_newer_file_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = await make_file(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    before = path.read_bytes()
    message = await refused(tmp_path)
    assert f"its version is 9, this Airlock knows {migration.newest()}" in message
    assert path.read_bytes() == before


async def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db")
    connection.execute("CREATE TABLE precious (x)")
    connection.commit()
    connection.close()
    before = (tmp_path / "s.db").read_bytes()
    assert "not an Airlock store" in await refused(tmp_path)
    assert (tmp_path / "s.db").read_bytes() == before


@pytest.mark.parametrize("damage", [b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 9000])
async def test_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "s.db").write_bytes(damage)
    message = await refused(tmp_path)
    assert "restore it from a backup, or move it away" in message
    assert (tmp_path / "s.db").read_bytes() == damage
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"], "no lock beside what is not ours"


async def test_file_with_a_torn_page_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = await make_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xa5" * 4096
    path.write_bytes(content)
    assert "restore it from a backup, or move it away" in await refused(tmp_path)
    assert path.read_bytes() == content


async def test_second_server_is_told_who_has_the_file(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    assert "another server uses it (process " in await refused(tmp_path)
    await store.close()
    await (await opened(tmp_path)).close()


async def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteStore(SqliteSettings(path="file/s.db"), tmp_path)
    with pytest.raises(StoreRefused, match=r"store\.path needs a folder that can be written"):
        await store.open()
    await store.close()


async def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.create(an_execution())
    assert [path.stat().st_mode & 0o077 for path in tmp_path.iterdir()] == [0] * len(list(tmp_path.iterdir()))
    await store.close()


async def test_any_name_of_a_file_will_do(tmp_path: Path) -> None:
    name = "a b?mode=memory#%41\u00e9.db"
    for _ in range(2):  # the second time it is read before it is opened
        assert SqliteStore.check(SqliteSettings(path=name), tmp_path) == []
        store = SqliteStore(SqliteSettings(path=name), tmp_path)
        await store.open()
        await store.close()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.lock"}


# --- a full disk -----------------------------------------------------------------------------------------------------


async def fill(store: SqliteStore) -> None:
    """Let SQLite refuse to grow the file, as on a full disk."""
    await store._writer.call(lambda connection: _limit(connection, 1))


def _limit(connection: sqlite3.Connection, pages: int) -> None:
    connection.execute(f"PRAGMA max_page_count = {pages}")  # not below what is used


async def test_full_disk_refuses_new_ones_answers_reads_and_recovers(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await finish(store, 0, stdout="kept")
    await store.create(an_execution(1))
    await fill(store)
    with pytest.raises(StoreUnavailable, match="full"):
        await store.create(an_execution(2, code="x" * 100_000))
    with pytest.raises(StoreUnavailable):
        await store.transition("1", 0, {"status": Status.running, "stdout": "x" * 100_000})
    assert await known(store, 3) == [0, 1]
    assert await store.get("1") == an_execution(1)
    assert [each.id for each in await store.page(Listing(limit=9))] == ["1", "0"]
    await store._writer.call(lambda connection: _limit(connection, 1 << 30))
    await store.create(an_execution(2, code="x" * 100_000))
    assert (await store.transition("1", 0, {"status": Status.running})).version == 1
    await store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
@pytest.mark.parametrize("is_new", [False, True])
async def test_start_on_a_full_disk_is_refused_with_its_own_remedy_and_goes_when_there_is_room(
    tmp_path: Path, is_new: bool
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    try:
        if not is_new:
            await (await opened(tmp_path)).close()
        else:
            (tmp_path / "s.db.lock").write_text(" " * 20)  # from an earlier server
        filler = tmp_path / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096) == 4096:
                pass
        message = await refused(tmp_path)
        assert "make room there" in message
        assert "restore" not in message
        filler.unlink()
        await (await opened(tmp_path)).close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


async def test_one_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await store.create(an_execution(0))
    failures: list[int] = []
    await fill(store)

    async def create(number: int) -> None:
        try:
            await store.create(an_execution(number, code="x" * 100_000 if number == 5 else "x"))
        except StoreUnavailable:
            failures.append(number)

    async with anyio.create_task_group() as group:
        for number in range(1, 10):
            group.start_soon(create, number)
    assert failures == [5]
    await store.close()


# --- bounds ----------------------------------------------------------------------------------------------------------


async def test_sweep_forgets_the_oldest_beyond_the_count(tmp_path: Path) -> None:
    store = await opened(tmp_path, max_count=300)
    for number in range(700):
        await finish(store, number)
    await store.sweep()
    assert await known(store, 700) == list(range(400, 700))
    await store.close()


async def test_sweep_forgets_the_oldest_beyond_the_bytes(tmp_path: Path) -> None:
    store = await opened(tmp_path, max_bytes=1 << 20)
    for number in range(4):
        await finish(store, number, stdout="x" * 400_000)
    await store.sweep()
    assert await known(store, 4) == [2, 3]
    await store.close()


async def test_sweep_forgets_what_is_too_old(tmp_path: Path) -> None:
    store = await opened(tmp_path, max_age=60)
    await finish(store, 0, finished_at=time.time() - 61)
    await finish(store, 1)
    await store.sweep()
    assert await known(store, 2) == [1]
    await store.close()
