"""The SQLite file of `store: sqlite`: who may open it, its tables, and every statement."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from . import strict_json
from .errors import StoreRefused
from .executions import Execution, OpenRequest, Summary
from .models import ExecutionStatus, LLMRequest
from .sqlite_header import APPLICATION_ID, VERSION, judge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .executions import Position

CHUNK: Final = 200  # executions that are forgotten at once

# What a client sent stands apart from what happened since, so that a change does not write it again.
_SCHEMA: Final = """
CREATE TABLE executions (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  client TEXT,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,
  started_at REAL,
  finished_at REAL,
  error_type TEXT,
  version INTEGER NOT NULL,
  idempotency_key TEXT,
  size INTEGER NOT NULL,
  request BLOB NOT NULL,
  state BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX by_age ON executions (created_at, id);
CREATE INDEX by_end ON executions (finished_at, size) WHERE finished_at IS NOT NULL;
CREATE INDEX unfinished ON executions (created_at) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX by_key ON executions (ifnull(client, ''), idempotency_key) WHERE idempotency_key IS NOT NULL;
"""

_REQUEST: Final = ("code", "timeout", "settings", "memory", "request_digest")
_LISTED: Final = tuple(field.name for field in fields(Summary))
_COLUMNS: Final = (*_LISTED, "idempotency_key")
_STATE: Final = tuple(field.name for field in fields(Execution) if field.name not in (*_REQUEST, *_COLUMNS))


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
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
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


# --- statements ------------------------------------------------------------------------------------------------------


def insert(connection: sqlite3.Connection, execution: Execution) -> Execution | None:
    """Add an execution; or return that of the same client with the same key, and add nothing."""
    request, state = _dump(execution, _REQUEST), _dump(execution, _STATE)
    values = [*_columns(execution), len(request) + len(state), request, state]
    done = connection.execute(f"{_INSERT} ON CONFLICT DO NOTHING", values)
    if done.rowcount:
        return None
    return find(connection, execution.client, execution.idempotency_key)


def find(connection: sqlite3.Connection, client: str | None, idempotency_key: str | None) -> Execution | None:
    """Return the execution that this client made with this key, or None."""
    row = connection.execute(
        f"{_SELECT} WHERE ifnull(client, '') = ? AND idempotency_key = ?", (client or "", idempotency_key)
    ).fetchone()
    return None if row is None else _load(row)


def update(connection: sqlite3.Connection, execution: Execution) -> None:
    """Write what happened to an execution."""
    state = _dump(execution, _STATE)
    connection.execute(_UPDATE, [*_columns(execution), len(state), state, execution.id])


def select(connection: sqlite3.Connection, execution_id: str) -> Execution | None:
    """Return an execution, or None."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (execution_id,)).fetchone()
    return None if row is None else _load(row)


def unfinished(connection: sqlite3.Connection) -> list[Execution]:
    """Return those that are not over, oldest first."""
    rows = connection.execute(f"{_SELECT} WHERE finished_at IS NULL ORDER BY created_at, id")
    return [_load(row) for row in rows]


def page(
    connection: sqlite3.Connection, wanted: Mapping[str, str | None], after: Position | None, limit: int
) -> list[Summary]:
    """Return what is wanted of each execution that has these values, newest first."""
    chosen = {name: value for name, value in wanted.items() if value is not None}
    conditions = [f"{name} = ?" for name in chosen]
    values: list[object] = list(chosen.values())
    if after is not None:
        conditions.append("(created_at, id) < (?, ?)")
        values += [after.created_at, after.id]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = connection.execute(  # the names are ours, the values are bound
        f"SELECT {', '.join(_LISTED)} FROM executions{where} ORDER BY created_at DESC, id DESC LIMIT ?",  # noqa: S608
        (*values, limit),
    )
    return [Summary(**{**dict(zip(_LISTED, row, strict=True)), "status": ExecutionStatus(row[3])}) for row in rows]


def forget(connection: sqlite3.Connection, max_count: int, max_bytes: int, max_age: float) -> bool:
    """Delete some of those that are over and beyond these bounds, oldest first; returns whether there may be more."""
    count, size = connection.execute(
        "SELECT count(*), ifnull(sum(size), 0) FROM executions WHERE finished_at IS NOT NULL"
    ).fetchone()
    oldest = connection.execute(
        "SELECT id, finished_at, size FROM executions WHERE finished_at IS NOT NULL ORDER BY finished_at LIMIT ?",
        (CHUNK,),
    ).fetchall()
    gone = []
    for execution_id, finished_at, its_size in oldest:
        if count <= max_count and size <= max_bytes and finished_at >= time.time() - max_age:
            break
        gone.append((execution_id,))
        count, size = count - 1, size - its_size
    connection.executemany("DELETE FROM executions WHERE id = ?", gone)
    return len(gone) == CHUNK


_SELECT: Final = f"SELECT {', '.join(_COLUMNS)}, request, state FROM executions"  # noqa: S608 - our own names
_UPDATE: Final = (
    f"UPDATE executions SET {', '.join(f'{name} = ?' for name in _COLUMNS)}, size = length(request) + ?, state = ?"  # noqa: S608
    " WHERE id = ?"
)
_INSERT: Final = (
    f"INSERT INTO executions ({', '.join(_COLUMNS)}, size, request, state)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 3))})"
)


def _columns(execution: Execution) -> list[Any]:
    return [execution.status.value if name == "status" else getattr(execution, name) for name in _COLUMNS]


def _dump(execution: Execution, names: tuple[str, ...]) -> bytes:
    return strict_json.dumps({name: _plain(getattr(execution, name)) for name in names})


def _plain(value: Any) -> Any:
    """Return the JSON form of a field's value."""
    if isinstance(value, tuple):  # of open LLM requests
        return [{**_fields(item), "request": item.request.model_dump()} for item in value]
    return dict(value) if hasattr(value, "keys") else value


def _fields(item: OpenRequest) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def _load(row: tuple[Any, ...]) -> Execution:
    *columns, request, state = row
    known = dict(zip(_COLUMNS, columns, strict=True)) | strict_json.loads(request) | strict_json.loads(state)
    known["status"] = ExecutionStatus(known["status"])
    known["llm_requests"] = tuple(
        OpenRequest(**{**item, "request": LLMRequest(**item["request"])}) for item in known["llm_requests"]
    )
    return Execution(**known)
