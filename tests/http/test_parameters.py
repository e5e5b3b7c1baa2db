"""The cursor of `GET /executions`."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.errors import InvalidRequest
from airlock.executions import Position
from airlock.http.routes.parameters import cursor_of, position_of


@given(
    st.floats(min_value=0, allow_nan=False, allow_infinity=False), st.text("0123456789abcdef-", min_size=1, max_size=64)
)
def test_a_cursor_leads_back_to_its_position(created_at: float, execution_id: str) -> None:
    position = Position(created_at, execution_id)
    cursor = cursor_of(position)
    assert position_of(cursor) == position
    assert len(cursor) <= 200
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        position = position_of(text)
        assert position_of(cursor_of(position)) == position


@pytest.mark.parametrize("cursor", ["", "x", "bmFuIHg", "aW5mIHg", "MS41IA", "MS41", "é", "MS41IHg=="])
def test_texts_that_are_almost_one(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="next_cursor"):
        position_of(cursor)
