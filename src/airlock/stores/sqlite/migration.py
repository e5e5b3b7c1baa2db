"""Migrates a file that an earlier release wrote: after copying it, and completely or not at all."""

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

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    ALTER TABLE executions ADD COLUMN exit_code INTEGER;
    UPDATE executions SET exit_code = json_extract(CAST(state AS TEXT), '$.exit_code') WHERE finished_at IS NOT NULL;
    """,
)
"""The SQL that leads from each version of the file to the next; the first one from version 1 to 2.

Who adds one changes `rows.SCHEMA` alike, and adds a file of the new version to tests/stores/data.
"""


def newest() -> int:
    """Return the version of the files that this release creates."""
    return 1 + len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring a file of an earlier `version` to the newest.

    Raises sqlite3.Error, or OSError when it cannot be copied; then the file is unchanged.
    """
    backup = _back_up(connection, path, version)
    steps = " ".join(MIGRATIONS[version - 1 :])
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {newest()}; COMMIT;")
    log.info("%s: migrated from version %d to %d; the old file was copied to %s", path, version, newest(), backup)


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """Copy the file, and return the path of the copy. An earlier copy is never overwritten, nor made twice."""
    part = path.with_name(f"{path.name}.backup-part")
    try:
        part.unlink(missing_ok=True)  # from a server that was killed at this point
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(part)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # an incomplete copy is removed, not recovered
            connection.backup(copy)
        for number in itertools.count(1):
            backup = path.with_name(f"{path.name}.backup-v{version}{f'-{number}' if number > 1 else ''}")
            if not backup.exists():
                part.rename(backup)
                break
            if filecmp.cmp(part, backup, shallow=False):  # from a migration that was interrupted
                break
        return backup
    finally:
        part.unlink(missing_ok=True)
