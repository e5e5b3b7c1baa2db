"""Store files of earlier releases are migrated after a backup."""

import logging
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.stores.earlier_files import (
    ADD_NOTE,
    BACKUP,
    EXIT_CODES,
    FILL_NOTE,
    NOW,
    VERSIONS,
    WRITTEN,
    Status,
    ask,
    beside,
    held,
    knows,
    old_file,
    opened,
    refused,
    run,
    version_of,
)

from airlock.executions import Listing
from airlock.stores.sqlite import migration, rows
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio


def without_layout(sql: str) -> str:
    return re.sub(r"\s*([(),])\s*|\s+", r"\1 ", sql)


# --- files of earlier releases ---------------------------------------------------------------------------------------


def test_there_is_a_file_of_each_version() -> None:
    assert sorted(VERSIONS) == list(range(1, migration.newest() + 1))


@pytest.mark.parametrize("version", VERSIONS)
async def test_everything_in_a_file_of_each_version_is_found(tmp_path: Path, version: int) -> None:
    path = Path(shutil.copyfile(VERSIONS[version], tmp_path / "s.db"))
    store = await opened(path)
    assert [await store.get(each.id) for each in WRITTEN] == WRITTEN
    assert await store.unfinished() == WRITTEN[:3]
    assert await store.find("bob", "key") == WRITTEN[2]
    assert await store.find("alice", "done") == WRITTEN[3]
    running = await store.transition("pending", 0, {"status": Status.running})
    await store.close()
    assert version_of(path) == migration.newest()
    assert (await held(path))[0] == running


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_migrated_file_has_the_tables_and_indexes_of_a_new_one(tmp_path: Path, version: int) -> None:
    path = Path(shutil.copyfile(VERSIONS[version], tmp_path / "s.db"))
    await (await opened(path)).close()
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(rows.SCHEMA)
        tables = [sql for (sql,) in new.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL")]
    migrated = ask(path, "SELECT sql FROM sqlite_master WHERE sql NOTNULL")
    assert sorted(map(without_layout, migrated)) == sorted(map(without_layout, tables))


async def test_exit_codes_of_an_earlier_release_are_listed(tmp_path: Path) -> None:
    path = Path(shutil.copyfile(EXIT_CODES, tmp_path / "s.db"))
    store = await opened(path)
    listed = {each.id: each.exit_code for each in await store.page(Listing(limit=9))}
    found = {each: await store.get(each) for each in listed}
    await store.close()
    assert listed == {"ended": 0, "exited": 3, "killed": -9, "stopped": None, "deep": 7, "waiting": None}
    assert {key: each and each.exit_code for key, each in found.items()} == listed


# --- migrating -------------------------------------------------------------------------------------------------------


async def test_old_file_is_migrated_and_copied_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = old_file(tmp_path)
    caplog.set_level(logging.INFO)
    with knows(ADD_NOTE + FILL_NOTE):
        assert await held(path) == WRITTEN
        assert await held(path) == WRITTEN, "the second time it is a file of this release"
    assert version_of(path) == NOW + 1
    assert ask(path, "SELECT note FROM executions WHERE id = 'paused'") == ["of paused"]
    assert beside(path) == [BACKUP]
    backup = tmp_path / BACKUP
    assert backup.stat().st_mode & 0o777 == 0o600
    assert f"{path}: migrated from version {NOW} to {NOW + 1}; the old file was copied to {backup}" in caplog.messages
    assert len(caplog.messages) == 1
    assert f"its version is {NOW + 1}, this Airlock knows {NOW}" in await refused(path)
    backup.replace(path)
    assert await held(path) == WRITTEN, "with the copy in its place the earlier release works"


async def test_steps_are_made_in_order_from_the_version_of_the_file(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    with knows(ADD_NOTE):
        await (await opened(path)).close()
    with knows(ADD_NOTE, FILL_NOTE, "UPDATE executions SET note = note || '!';"):
        assert await held(path) == WRITTEN
    assert version_of(path) == NOW + 3
    assert ask(path, "SELECT note FROM executions WHERE id = 'failed'") == ["of failed!"]
    assert beside(path) == [BACKUP, f"s.db.backup-v{NOW + 1}"]
    assert [version_of(tmp_path / name) for name in beside(path)] == [NOW, NOW + 1]


async def test_what_still_stands_in_the_wal_is_migrated_and_copied(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    script = (
        "import asyncio, os\n"
        "async def main():\n"
        "    store = await opened(path)\n"
        "    await store.create(an_execution(stdout='late'))\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    assert run(path, script) == 0
    assert (tmp_path / "s.db-wal").stat().st_size > 0
    with knows(ADD_NOTE):
        store = await opened(path)
        assert await store.get("0") == an_execution(stdout="late")
        await store.close()
    assert beside(path) == [BACKUP]
    assert ask(tmp_path / BACKUP, "SELECT id FROM executions WHERE id = '0'") == ["0"]


async def test_an_earlier_copy_is_kept(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    (tmp_path / BACKUP).write_bytes(b"of somebody")
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == [BACKUP, f"{BACKUP}-2"]
    assert (tmp_path / BACKUP).read_bytes() == b"of somebody"
    assert version_of(tmp_path / f"{BACKUP}-2") == NOW


# --- looking ---------------------------------------------------------------------------------------------------------


def test_check_says_what_a_start_will_do_and_does_nothing(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    before = path.read_bytes()
    with knows(ADD_NOTE):
        (warning,) = SqliteStore.check(SqliteSettings(path="s.db"), tmp_path)
    assert warning == f"{path}: its version is {NOW}; the next start migrates it to {NOW + 1} and keeps a copy"
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])
