"""The file of `store: sqlite`: whether it is Airlock's, who may open it, and how it is opened."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from airlock.errors import StoreRefused

from . import migration, write_ahead_log
from .rows import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION_ID: Final = 0x41_69_72_6C  # "Airl": tells our files from those of other programs


def check(path: Path) -> int:
    """Return the version of the file: the newest when it does not exist yet, or cannot be known before it is opened.

    Changes nothing, and creates no other file. Raises StoreRefused when the file is not Airlock's, or newer.
    """
    try:
        if not path.exists():
            return migration.newest()
        if not path.is_file():
            raise StoreRefused(f"{path}: not a regular file; set another store.path")
        wal = path.with_name(f"{path.name}-wal")
        if not path.stat().st_size or (wal.exists() and wal.stat().st_size):
            return migration.newest()  # empty; or its header may be outdated
    except NotADirectoryError:
        return migration.newest()  # `unwritable` reports it
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror}; store.path needs a file that can be written") from None
    try:
        return _version(path, "immutable=1&mode=ro")  # else SQLite leaves files beside it
    except sqlite3.Error as error:
        raise _refusal(path, error) from None


def unwritable(path: Path) -> str | None:
    """Say which of the file and its folder this user cannot write, or return None."""
    try:
        folder = next(each for each in path.absolute().parents if each.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            return f"{folder}: cannot be written by this user; store.path needs a folder that can be written"
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            return f"{path}: cannot be written by this user; store.path needs a file that can be written"
    except OSError as error:
        return f"{error.filename}: {error.strerror}; store.path needs a folder that can be written"
    return None


class Lock:
    """Marks the file as used by a server. The system releases it when the process ends, even after a crash."""

    def __init__(self, path: Path) -> None:
        """Acquire it. Raises StoreRefused when another server holds it, or the folder cannot be written."""
        lock = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreRefused(
                f"{error.filename}: {error.strerror}; store.path needs a folder that can be written"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip() or "?"
            os.close(self._descriptor)
            raise StoreRefused(
                f"{path}: another server uses it (process {holder}); stop that one, or set another store.path"
            ) from None
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.release()
            raise StoreRefused(f"{lock}: {error.strerror}; make room there, or set another store.path") from None

    def release(self) -> None:
        """Release it."""
        os.close(self._descriptor)


def connect(path: Path, durability: str) -> sqlite3.Connection:
    """Open the file: create it if there is none, and migrate it if an earlier release wrote it.

    Raises StoreRefused when it is not Airlock's, newer or damaged, or cannot be migrated; then it is unchanged. For
    what a commit withstands, see https://www.sqlite.org/pragma.html#pragma_synchronous.
    """
    with _refusing(path):
        is_new = not path.exists() or path.stat().st_size == 0
        if is_new:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds what clients sent
        version = 0 if is_new else _version(path, "mode=ro", deep=True)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            write_ahead_log.keep(connection, path)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            if is_new:
                _create(connection)
            elif version < migration.newest():
                _migrate(connection, path, version)
            connection.execute("UPDATE executions SET status = status WHERE id = ''")  # fails if it cannot be written
        except BaseException:
            connection.close()
            raise
        return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a file that is open for writing, so that what is read does not wait for what is written.

    Raises StoreRefused.
    """
    with _refusing(path):
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror}; store.path needs a file that can be written") from None
    except sqlite3.Error as error:
        raise _refusal(path, error) from None


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {migration.newest()}; COMMIT;"
    )


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    try:
        migration.migrate(connection, path, version)
    except (sqlite3.Error, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        remedy = _remedy(error, "use the Airlock that wrote it")
        raise StoreRefused(
            f"{path}: cannot be migrated from version {version} to {migration.newest()}, and is unchanged: "
            f"{reason}; {remedy}"
        ) from None


def _version(path: Path, how: str, *, deep: bool = False) -> int:
    """Return the version of the file. `deep` looks for damage too, which reads all of it.

    Raises StoreRefused when the file is not Airlock's, or newer, and sqlite3.Error when it is damaged.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StoreRefused(f"{path}: {_NOT_OURS}")
        if not 1 <= version <= migration.newest():
            raise StoreRefused(
                f"{path}: its version is {version}, this Airlock knows {migration.newest()}; use the Airlock that "
                "wrote it, or move it away to start with an empty store"
            )
        if deep:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(" ".join(verdict.split()))
    return int(version)


_NOT_OURS: Final = (
    "not an Airlock store, or a damaged one; set another store.path, restore it from a backup, "
    "or move it away to start with an empty store"
)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_DAMAGED: Final = "restore it from a backup, or move it away to start with an empty store"


def _refusal(path: Path, error: sqlite3.Error) -> StoreRefused:
    is_other = getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB"  # `quick_check` gives no such name
    return StoreRefused(f"{path}: {_NOT_OURS}" if is_other else f"{path}: {error}; {_remedy(error, _DAMAGED)}")


def _remedy(error: Exception, otherwise: str) -> str:
    """Say what to do (see https://www.sqlite.org/rescode.html; a full disk is sometimes reported as an I/O error)."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR") or getattr(error, "errno", 0) in _FULL:
        return "the disk is full or fails: make room there, or set another store.path"
    if isinstance(error, OSError) or name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return "store.path needs a file, in a folder, that can be written"
    return otherwise
