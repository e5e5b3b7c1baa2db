"""A SQLite file that somebody else is writing to."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, how: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the right to write, on a connection of its own, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")
