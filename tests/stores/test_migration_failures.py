"""A migration that fails, for whatever reason, leaves the old file as it was."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.stores.earlier_files import (
    ADD_NOTE,
    BACKUP,
    NOW,
    VERSIONS,
    WRITTEN,
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

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mistake", ["UPDATE executions SET nothing = 1;", "UPDATE executions SET project = NULL;"])
async def test_migration_that_fails_leaves_the_old_file(tmp_path: Path, mistake: str) -> None:
    path = old_file(tmp_path)
    for _ in range(2):
        with knows(ADD_NOTE, mistake):
            message = await refused(path)
        assert f"cannot be migrated from version {NOW} to {NOW + 2}, and is unchanged: " in message
        assert message.endswith("; use the Airlock that wrote it")
        assert beside(path) == [BACKUP], "the same is not copied twice"
    assert version_of(path) == NOW
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
        f"migration.MIGRATIONS += ({step!r},)\n"
        "asyncio.run(opened(path))\n"
    )
    assert run(path, script) == -9
    assert await held(path) == WRITTEN
    assert version_of(path) == NOW
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == [BACKUP]


async def test_half_a_copy_of_a_killed_server_is_made_again(tmp_path: Path) -> None:
    path = old_file(tmp_path)
    (tmp_path / "s.db.backup-part").write_bytes(VERSIONS[NOW].read_bytes()[:5000])
    with knows(ADD_NOTE):
        assert await held(path) == WRITTEN
    assert beside(path) == [BACKUP]
    assert ask(tmp_path / BACKUP, "PRAGMA integrity_check") == ["ok"]


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
        assert beside(path) == ["filler"] + [BACKUP] * (room > 40 << 10)
        assert version_of(path) == NOW
        (tmp_path / "filler").unlink()
        with knows(ADD_NOTE + big):
            assert await held(path) == WRITTEN
        assert beside(path) == [BACKUP]


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
