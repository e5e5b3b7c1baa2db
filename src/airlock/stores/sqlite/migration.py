"""Makes a file that an earlier release wrote one of this release: after a copy of it, and all or nothing."""

from __future__ import annotations

import filecmp
import itertools
import logging
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

MIGRATIONS: Final[tuple[str, ...]] = ()
"""The SQL that leads from each version of the file to the next, the first from version 1 to 2.

Change `rows.SCHEMA` to the same, and keep a file of the version that it was in tests/stores/data.
"""


def newest() -> int:
    """Return the version of the files that this release makes."""
    return 1 + len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring a file of an earlier `version` to the newest, unless it raises: then the file is as it was.

    Raises sqlite3.Error, and OSError when no copy can be made.
    """
    backup = _back_up(connection, path, version)
    steps = " ".join(MIGRATIONS[version - 1 :])
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {newest()}; COMMIT;")
    log.info("%s: migrated from version %d to %d; %s is a copy of the old one", path, version, newest(), backup)


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the file beside it, and return where. What another migration copied is kept, and not copied twice."""
    part = path.with_name(f"{path.name}.backup-part")
    try:
        part.unlink(missing_ok=True)  # of a server that was killed here
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(part)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # a copy that is not whole is thrown away
            connection.backup(copy)
        for number in itertools.count(1):
            backup = path.with_name(f"{path.name}.backup-v{version}{f'-{number}' if number > 1 else ''}")
            if not backup.exists():
                part.rename(backup)
                break
            if filecmp.cmp(part, backup, shallow=False):  # of a migration that came no further
                break
        return backup
    finally:
        part.unlink(missing_ok=True)
