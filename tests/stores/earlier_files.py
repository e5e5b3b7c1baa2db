"""Store files of earlier releases, and this process as a later release with more migrations."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import StoreRefused
from airlock.executions import Execution, OpenRequest
from airlock.models import ExecutionStatus, LLMRequest
from airlock.stores.sqlite import migration
from airlock.stores.sqlite.store import SqliteSettings, SqliteStore

Status = ExecutionStatus
DATA = Path(__file__).parent / "data"  # a file of each version, as the last release that wrote it left it
VERSIONS = {int(path.stem.rpartition("-v")[2]): path for path in DATA.glob("executions-v*.db")}
EXIT_CODES = DATA / "exit-codes-v1.db"  # as a release left it that kept exit codes, but did not list them
NOW = migration.newest()
BACKUP = f"s.db.backup-v{NOW}"
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
    """Make this process a later release, with these further migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "MIGRATIONS", (*migration.MIGRATIONS, *migrations))
        yield


def old_file(folder: Path) -> Path:
    """Place a file of this release in the folder, which is old to a later one."""
    return Path(shutil.copyfile(VERSIONS[NOW], folder / "s.db"))


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
