"""What the file of `store: sqlite` says of itself in its first bytes.

They are read without SQLite, which would leave files beside it: see https://www.sqlite.org/fileformat.html.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .errors import StoreRefused

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID: Final = 0x41_69_72_6C  # "Airl", so that nobody else's file is taken for ours
VERSION: Final = 1

_MAGIC: Final = b"SQLite format 3\0"
_SIZE: Final = 100


def check(path: Path) -> None:
    """Raise StoreRefused when there is a file that is not ours, or newer. Changes nothing, there and beside it."""
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
