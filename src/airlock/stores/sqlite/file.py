"""The file of `store: sqlite`: who may open it, and what it says of itself."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from airlock.errors import StoreRefused

from .rows import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID: Final = 0x41_69_72_6C  # "Airl", so that nobody else's file is taken for ours
VERSION: Final = 1

_MAGIC: Final = b"SQLite format 3\0"
_SIZE: Final = 100


def check(path: Path) -> None:
    """Raise StoreRefused when there is a file that is not ours, or newer. Changes nothing, there and beside it.

    Its first bytes are read without SQLite, which would leave files beside it (https://www.sqlite.org/fileformat.html).
    """
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise StoreRefused(f"{path}: not a regular file; set another store.path")
        with path.open("rb") as file:
            header = file.read(_SIZE)
    except NotADirectoryError:
        return  # `check_folder` says so
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror}; store.path needs a file that can be written") from None
    wal = path.with_name(f"{path.name}-wal")
    if not header or (header.startswith(_MAGIC) and wal.exists() and wal.stat().st_size):
        return  # new; or what it says of itself may still stand in the other file
    if not header.startswith(_MAGIC):
        header = b""
    judge(path, int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))


def judge(path: Path, application: int, version: int) -> None:
    """Raise StoreRefused unless a file that says this of itself can be used."""
    if application != APPLICATION_ID:
        raise StoreRefused(
            f"{path}: not a store of Airlock, or a damaged one; set another store.path, restore it from a backup, "
            "or move it away to begin with an empty one"
        )
    if version != VERSION:
        raise StoreRefused(
            f"{path}: its version is {version}, this Airlock knows {VERSION}; use the Airlock that wrote it, "
            "or move it away to begin with an empty one"
        )


def check_folder(path: Path) -> None:
    """Raise StoreRefused when this user may not write where the file is, or is to be made."""
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreRefused(f"{folder}: cannot be written by this user; store.path needs a folder that can be written")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StoreRefused(f"{path}: cannot be written by this user; store.path needs a file that can be written")


class Lock:
    """Says that a server uses the file. The system lets go of it when the process ends, however it does."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises StoreRefused when another server has it, or the folder cannot be written."""
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
        """Let go."""
        os.close(self._descriptor)


def connect(path: Path, durability: str) -> sqlite3.Connection:
    """Open the file, or make it. Raises StoreRefused when it is not one of ours, newer, or damaged; it stays as it is.

    See https://www.sqlite.org/pragma.html#pragma_synchronous for what a commit withstands.
    """
    try:
        is_new = not path.exists() or path.stat().st_size == 0
        if is_new:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds what clients sent
        else:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as looking:
                _check(path, looking)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, durability, is_new=is_new)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise StoreRefused(f"{path}: {error.strerror}; store.path needs a file that can be written") from None
    except sqlite3.DatabaseError as error:
        raise StoreRefused(f"{path}: {error}; {_remedy(error)}") from None
    return connection


def _prepare(connection: sqlite3.Connection, durability: str, *, is_new: bool) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
    if is_new:
        connection.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    connection.execute("UPDATE executions SET status = status WHERE id = ''")  # whether it can be written at all


def _remedy(error: sqlite3.DatabaseError) -> str:
    """Say what to do, by https://www.sqlite.org/rescode.html: a full disk is told as an I/O error now and then."""
    name = getattr(error, "sqlite_errorname", "")  # our own verdict has none
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
        return "the disk is full or fails: make room there, or set another store.path"
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return "store.path needs a file, in a folder, that can be written"
    return "restore it from a backup, or move it away to begin with an empty one"


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    judge(path, application, version)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(" ".join(verdict.split()))
