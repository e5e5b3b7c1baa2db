"""The rows of `store: sqlite`: the schema, every statement, and an execution as a row."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic_core import from_json

from airlock.executions import Execution, Summary

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Set as AbstractSet

    from airlock.executions import Listing

CHUNK: Final = 200  # executions that are forgotten in one step

# What the client sent has a column of its own, so that a change does not write it again.
SCHEMA: Final = """
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
  state BLOB NOT NULL,
  exit_code INTEGER
) WITHOUT ROWID;
CREATE INDEX by_age ON executions (created_at, id);
CREATE INDEX by_end ON executions (finished_at, size) WHERE finished_at IS NOT NULL;
CREATE INDEX unfinished ON executions (created_at) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX by_key ON executions (ifnull(client, ''), idempotency_key) WHERE idempotency_key IS NOT NULL;
"""

_REQUEST: Final = frozenset({"code", "timeout", "settings", "memory", "request_digest"})
_LISTED: Final = tuple(field.name for field in fields(Summary))
_COLUMNS: Final = (*_LISTED, "idempotency_key")
_STATE: Final = frozenset(field.name for field in fields(Execution)) - _REQUEST - {*_COLUMNS}

_RECORD: Final = TypeAdapter(Execution)
_SUMMARY: Final = TypeAdapter(Summary)


def insert(connection: sqlite3.Connection, execution: Execution) -> Execution | None:
    """Insert an execution; if the same client has one with the same key, insert nothing and return that one."""
    request, state = _dump(execution, _REQUEST), _dump(execution, _STATE)
    values = [*_columns(execution), len(request) + len(state), request, state]
    done = connection.execute(f"{_INSERT} ON CONFLICT DO NOTHING", values)
    if done.rowcount:
        return None
    return find(connection, execution.client, execution.idempotency_key)


def find(connection: sqlite3.Connection, client: str | None, idempotency_key: str | None) -> Execution | None:
    """Return the execution that this client created with this key, or None."""
    row = connection.execute(
        f"{_SELECT} WHERE ifnull(client, '') = ? AND idempotency_key = ?", (client or "", idempotency_key)
    ).fetchone()
    return None if row is None else _load(row)


def update(connection: sqlite3.Connection, execution: Execution) -> None:
    """Write the next version of an execution."""
    state = _dump(execution, _STATE)
    connection.execute(_UPDATE, [*_columns(execution), len(state), state, execution.id])


def select(connection: sqlite3.Connection, execution_id: str) -> Execution | None:
    """Return an execution, or None."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (execution_id,)).fetchone()
    return None if row is None else _load(row)


def unfinished(connection: sqlite3.Connection) -> list[Execution]:
    """Return the unfinished executions, oldest first."""
    rows = connection.execute(f"{_SELECT} WHERE finished_at IS NULL ORDER BY created_at, id")
    return [_load(row) for row in rows]


def page(connection: sqlite3.Connection, listing: Listing) -> list[Summary]:
    """Return the summaries of the executions that `listing` describes."""
    wanted = {
        "project": listing.project,
        "status": listing.status and listing.status.value,
        "client": listing.client,
    }
    conditions = [f"{name} = ?" for name, value in wanted.items() if value is not None]
    values: list[object] = [value for value in wanted.values() if value is not None]
    if listing.after is not None:
        conditions.append("(created_at, id) < (?, ?)")
        values += listing.after
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = connection.execute(  # the names are ours, the values are bound
        f"SELECT {', '.join(_LISTED)} FROM executions{where} ORDER BY created_at DESC, id DESC LIMIT ?",  # noqa: S608
        (*values, listing.limit),
    )
    return [_SUMMARY.validate_python(dict(zip(_LISTED, row, strict=True))) for row in rows]


def forget(connection: sqlite3.Connection, max_count: int, max_bytes: int, max_age: float) -> bool:
    """Delete some finished executions beyond these limits, oldest first; return whether there may be more."""
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


def _dump(execution: Execution, names: AbstractSet[str]) -> bytes:
    return _RECORD.dump_json(execution, include=set(names))


def _load(row: tuple[Any, ...]) -> Execution:
    *columns, request, state = row
    return _RECORD.validate_python(from_json(request) | from_json(state) | dict(zip(_COLUMNS, columns, strict=True)))
