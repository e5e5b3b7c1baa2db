"""The write-ahead log beside the file, through which reads do not wait for writes (https://www.sqlite.org/wal.html)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Final

from airlock.errors import StoreRefused

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_SIZE: Final = 64 << 20  # bytes, from which the log is emptied even if reads have to end for that
ATTEMPTS: Final = 20
ATTEMPT: Final = 100  # milliseconds of each, for which writes wait


def keep(connection: sqlite3.Connection, path: Path) -> None:
    """Have changes written to a log beside the file. No other program can end that while this connection is open.

    Raises StoreRefused where SQLite cannot do it, and sqlite3.Error.
    """
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreRefused(
            f"{path}: SQLite cannot keep a write-ahead log here, so reads would wait for writes; "
            "set store.path to a file on a local disk"
        )
    connection.execute(f"PRAGMA journal_size_limit = {MAX_SIZE}")  # what it keeps when SQLite itself starts it again


class Bound:
    """Empties the log when it is large.

    SQLite itself starts the log again only in a moment without any read. While lists follow one another there is none,
    and the log would grow without end (https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files).
    """

    def __init__(self, path: Path) -> None:
        """`path` is the file's, not the log's."""
        self._log = path.with_name(f"{path.name}-wal")
        self._allowed = MAX_SIZE

    def hold(self, connection: sqlite3.Connection) -> None:
        """Empty the log if it is too large, outside of a transaction.

        This waits for the reads that have begun, but not for later ones, which no longer need the log. If somebody
        reads for longer than all attempts, the log may grow by `MAX_SIZE` before the next ones.
        """
        try:
            size = self._log.stat().st_size
            if size <= MAX_SIZE:
                self._allowed = MAX_SIZE
            if size <= self._allowed:
                return
            is_empty = _empty(connection)
        except (OSError, sqlite3.Error) as error:
            log.warning("%s: cannot be emptied for now: %s", self._log, error)
            self._allowed += MAX_SIZE
            return
        if not is_empty:
            log.warning("%s: has %d bytes, and cannot be emptied while somebody reads the file", self._log, size)
        self._allowed = MAX_SIZE if is_empty else size + MAX_SIZE


def _empty(connection: sqlite3.Connection) -> bool:
    """Make several attempts, and return whether one succeeded.

    SQLite waits for the lock of a reader that holds up the copying, even when a later reader, who does not, has taken
    over that lock: one long attempt can fail where the next one finds nobody in its way.
    """
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {ATTEMPT}")
    try:
        for _ in range(ATTEMPTS):
            (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return True
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout}")
    return False
