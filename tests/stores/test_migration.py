"""Store files of earlier releases: each is migrated after a backup, or stays unchanged."""

import logging
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import StoreRefused
from airlock.executions import Execution, OpenRequest
from airlock.models import ExecutionStatus, LLMRequest
from airlock.stores.sqlite import migration, rows
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore
from airlock.testing.store import an_execution

pytestmark = pytest.mark.anyio

Status = ExecutionStatus
DATA = Path(__file__).parent / "data"  # a file of each version, as the last release that wrote it left it
VERSIONS = {int(path.stem.rpartition("-v")[2]): path for path in DATA.glob("executions-v*.db")}
T = 1767225600.0
SENT: dict[str, Any] = {
    "project": "p",
    "code": "print('h\u00e9llo')",
    "timeout": 60,
    "settings": {"a": "b"},
    "memory": {"x.y": [1, {"z": None}]},
}
WRITTEN = [
    Execution(**SENT, id="pending", client="alice", idempotency_key="key", request_digest="digest", created_at=T),
    Execution(
        **SENT, id="running", status=Status.running, version=1, created_at=T + 1, started_at=T + 1.5, queued_ms=500
    ),
    Execution(
        **SENT,
        id="paused",
        client="bob",
        idempotency_key="key",
        request_digest="other",
        status=Status.awaiting_llm,
        version=2,
        created_at=T + 2,
        started_at=T + 2.25,
        llm_requests=(
            OpenRequest(
                id=2,
                request=LLMRequest(prompt="wh\u00e4t?", model="m"),
                created_at=T + 3,
                expires_at=T + 603,
                version=2,
            ),
        ),
        answered={"1": "digest"},
        stdout="so far\n",
        run_ms=7,
        llm_wait_ms=8,
    ),
    Execution(
        **SENT,
        id="completed",
        client="alice",
        idempotency_key="done",
        request_digest="d",
        status=Status.completed,
        version=2,
        created_at=T + 4,
        started_at=T + 4.5,
        finished_at=T + 5.125,
        result={"a": [1.5, None, "\u2028"]},
        memory_updates={"a.b": True},
        stdout="out\n" * 50,
        stderr="err \U0001f600\0",
        truncated=True,
        run_ms=625,
        queued_ms=500,
    ),
    Execution(
        **{**SENT, "project": "q"},
        id="failed",
        status=Status.error,
        version=1,
        created_at=T + 6,
        finished_at=T + 7,
        error="it failed",
        error_type="internal",
    ),
]
ADD_NOTE = "ALTER TABLE executions ADD COLUMN note TEXT;"
FILL_NOTE = "UPDATE executions SET note = 'of ' || id;"


@contextmanager
def knows(*migrations: str) -> Iterator[None]:
    """Make this process a later release, with these migrations from version 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "MIGRATIONS", migrations)
        yield


def old_file(folder: Path) -> Path:
    """Place a file of version 1 in the folder."""
    return Path(shutil.copyfile(VERSIONS[1], folder / "s.db"))


def a_store(path: Path) -> SqliteStore:
    return SqliteStore(SqliteSettings(path=path.name), path.parent)


async def opened(path: Path) -> SqliteStore:
    store = a_store(path)
    try:
        await store.open()
    except BaseException:
        await store.close()
        raise
    return store


async def refused(path: Path) -> str:
    with pytest.raises(StoreRefused) as refusal:
        await opened(path)
    return str(refusal.value)


async def held(path: Path) -> list[Execution | None]:
    store = await opened(path)
    try:
        return [await store.get(each.id) for each in WRITTEN]
    finally:
        await store.close()


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(query)]


def version_of(path: Path) -> int:
    return int(ask(path, "PRAGMA user_version")[0])


def beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir() if each != path and not each.name.endswith(".lock"))


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
        tables = [re.sub(r"\s+", " ", sql) for (sql,) in new.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL")]
    migrated = [re.sub(r"\s+", " ", sql) for sql in ask(path, "SELECT sql FROM sqlite_master WHERE sql NOTNULL")]
    assert sorted(migrated) == sorted(tables)


# --- migrating -------------------------------------------------------------------------------------------------------


async def test_old_file_is_migrated_and_copied_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = old_file(tmp_path)
    caplog.set_level(logging.INFO)
    with knows(ADD_NOTE + FILL_NOTE):
        assert await held(path) == WRITTEN
        assert await held(path) == WRITTEN, "the second time it is a file of this release"
    assert version_of(path) == 2
    assert ask(path, "SELECT note FROM executions WHERE id = 'paused'") == ["of paused"]
    assert beside(path) == ["s.db.backup-v1"]
    backup = tmp_path / "s.db.backup-v1"
    assert backup.stat().st_mode & 0o777 == 0o600
    assert f"{path}: migrated from version 1 to 2; the old file was copied to {backup}" in caplog.messages
    assert len(caplog.messages) == 1
    assert "its version is 2, this Airlock knows 1" in await refused(path)
    backup.replace(path)
    assert await held(path) == WRITTEN, "with the copy in its place the earlier release works"


async def test_steps_are_made_in_order_from_the_version_of_the_file(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    with knows(ADD_NOTE):
        await (await opened(path)).close()
    with knows(ADD_NOTE, FILL_NOTE, "UPDATE executions SET note = note || '!';"):
        assert await held(path) == WRITTEN
    assert version_of(path) == 4
    assert ask(path, "SELECT note FROM executions WHERE id = 'failed'") == ["of failed!"]
    assert beside(path) == ["s.db.backup-v1", "s.db.backup-v2"]
    assert [version_of(tmp_path / name) for name in beside(path)] == [1, 2]


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
    assert beside(path) == ["s.db.backup-v1"]
    assert ask(tmp_path / "s.db.backup-v1", "SELECT id FROM executions WHERE id = '0'") == ["0"]


async def test_an_earlier_copy_is_kept(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    (tmp_path / "s.db.backup-v1").write_bytes(b"of somebody")
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == ["s.db.backup-v1", "s.db.backup-v1-2"]
    assert (tmp_path / "s.db.backup-v1").read_bytes() == b"of somebody"
    assert version_of(tmp_path / "s.db.backup-v1-2") == 1


# --- what goes wrong leaves the file as it was -----------------------------------------------------------------------


@pytest.mark.parametrize("mistake", ["UPDATE executions SET nothing = 1;", "UPDATE executions SET project = NULL;"])
async def test_migration_that_fails_leaves_the_old_file(tmp_path: Path, mistake: str) -> None:
    path = old_file(tmp_path)
    for _ in range(2):
        with knows(ADD_NOTE, mistake):
            message = await refused(path)
        assert "cannot be migrated from version 1 to 3, and is unchanged: " in message
        assert message.endswith("; use the Airlock that wrote it")
        assert beside(path) == ["s.db.backup-v1"], "the same is not copied twice"
    assert version_of(path) == 1
    assert await held(path) == WRITTEN


@pytest.mark.parametrize("at", ["die()", "CASE WHEN id = 'running' THEN die() END"])
async def test_server_killed_while_it_migrates_leaves_the_old_file(tmp_path: Path, at: str) -> None:
    path = old_file(tmp_path)
    # With so few pages in memory, changes reach the WAL before the transaction ends.
    step = f"PRAGMA cache_size = 1; {ADD_NOTE} UPDATE executions SET note = hex(zeroblob(90000)); "
    step += f"UPDATE executions SET note = {at};"
    script = (
        "import asyncio, os, signal, sqlite3\n"
        "from airlock.stores.sqlite import migration\n"
        "connect = sqlite3.connect\n"
        "def with_die(*arguments, **named):\n"
        "    connection = connect(*arguments, **named)\n"
        "    connection.create_function('die', 0, lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
        "    return connection\n"
        "sqlite3.connect = with_die\n"
        f"migration.MIGRATIONS = ({step!r},)\n"
        "asyncio.run(opened(path))\n"
    )
    assert run(path, script) == -9
    assert await held(path) == WRITTEN
    assert version_of(path) == 1
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == ["s.db.backup-v1"]


async def test_half_a_copy_of_a_killed_server_is_made_again(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    (tmp_path / "s.db.backup-part").write_bytes(VERSIONS[1].read_bytes()[:5000])
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == ["s.db.backup-v1"]
    assert ask(tmp_path / "s.db.backup-v1", "PRAGMA integrity_check") == ["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
@pytest.mark.parametrize("room", [40 << 10, 80 << 10], ids=["for no copy", "for the copy alone"])
async def test_full_disk_leaves_the_old_file_and_says_to_make_room(tmp_path: Path, room: int) -> None:
    big = "UPDATE executions SET note = hex(zeroblob(200000));"
    with mounted(tmp_path, "size=4m"):
        path = old_file(tmp_path)
        await (await opened(path)).close()
        leave(tmp_path, room)
        with knows(ADD_NOTE + big):
            message = await refused(path)
        assert "cannot be migrated" in message
        assert "make room there" in message
        assert beside(path) == ["filler"] + ["s.db.backup-v1"] * (room > 40 << 10)
        assert version_of(path) == 1
        (tmp_path / "filler").unlink()
        with knows(ADD_NOTE + big):
            assert await held(path) == WRITTEN
        assert beside(path) == ["s.db.backup-v1"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk read-only")
async def test_read_only_disk_leaves_the_old_file(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=4m"):
        path = old_file(tmp_path)
        await (await opened(path)).close()
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        with knows(ADD_NOTE):
            assert "needs a folder that can be written" in await refused(path)
        assert path.read_bytes()[:16] == b"SQLite format 3\0"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
@pytest.mark.parametrize("was_killed", [False, True])
async def test_folder_that_takes_no_copy_leaves_the_old_file(was_killed: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = old_file(Path(name))
        store = await opened(path)
        if was_killed:  # then WAL and index lie there, and can be written
            for each in list(path.parent.iterdir()):
                shutil.copyfile(each, path.parent / f"{each.name}.kept")
        await store.close()
        for each in list(path.parent.iterdir()):
            if was_killed and each.suffix == ".kept":
                each.replace(each.with_suffix(""))
        for each in path.parent.iterdir():
            os.chown(each, 65534, 65534)
        path.parent.chmod(0o555)
        os.seteuid(65534)
        try:
            with knows(ADD_NOTE):
                message = await refused(path)
        finally:
            os.seteuid(0)
        assert ("cannot be migrated" in message) == was_killed, message
        assert message.endswith("store.path needs a file, in a folder, that can be written")
        assert await held(path) == WRITTEN


# --- looking ---------------------------------------------------------------------------------------------------------


def test_check_says_what_a_start_will_do_and_does_nothing(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    before = path.read_bytes()
    with knows(ADD_NOTE):
        (warning,) = SqliteStore.check(SqliteSettings(path="s.db"), tmp_path)
    assert warning == f"{path}: its version is 1; the next start migrates it to 2 and keeps a copy"
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


# --- helpers ---------------------------------------------------------------------------------------------------------


def run(path: Path, script: str) -> int:
    """Run a script as another server, with `path`, `opened` and `an_execution`; returns its exit code."""
    head = (
        "from pathlib import Path\n"
        "from airlock.stores.sqlite.store import SqliteSettings, SqliteStore\n"
        "from airlock.testing.store import an_execution\n"
        f"path = Path({str(path)!r})\n"
        "async def opened(path):\n"
        "    store = SqliteStore(SqliteSettings(path=path.name), path.parent)\n"
        "    await store.open()\n"
        "    return store\n"
    )
    return subprocess.run([sys.executable, "-c", head + script], check=False, timeout=60).returncode


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def leave(folder: Path, room: int) -> None:
    """Fill the disk until this much is left."""
    disk = os.statvfs(folder)
    (folder / "filler").write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - room))
