"""A record is read from its row unchanged, whatever JSON values clients and scripts put into it."""

import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airlock.stores.sqlite import rows
from airlock.testing.store import an_execution

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)


@given(result=JSON, memory=st.dictionaries(TEXT, JSON), code=TEXT, created_at=st.floats(0, 4e9))
def test_every_json_value_comes_back(result: Any, memory: dict[str, Any], code: str, created_at: float) -> None:
    execution = an_execution(result=result, memory=memory, memory_updates=memory, code=code, created_at=created_at)
    loaded = stored(execution)
    assert loaded == execution
    assert repr(loaded) == repr(execution)  # 1 is not 1.0, -0.0 is not 0.0


def test_integers_and_depth_at_their_bounds_come_back() -> None:
    deep: Any = 10**4299
    for _ in range(100):  # the most that a script may return
        deep = [deep]
    assert stored(an_execution(result=deep)) == an_execution(result=deep)


def stored(execution: Any) -> Any:
    connection = sqlite3.connect(":memory:")
    connection.executescript(rows.SCHEMA)
    assert rows.insert(connection, execution) is None
    loaded = rows.select(connection, execution.id)
    connection.close()
    return loaded
