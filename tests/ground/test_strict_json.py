"""What strict JSON accepts, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock import strict_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_what_is_written_is_read_back(value: object) -> None:
    assert strict_json.loads(strict_json.dumps(value)) == value


@given(st.binary())
def test_garbage_is_a_value_error_or_a_value_that_can_be_written(raw: bytes) -> None:
    try:
        value = strict_json.loads(raw)
    except ValueError:
        return
    strict_json.dumps(value)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"NaN", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"1e999", "1e999"),
        (b'"\\ud800"', "surrogates"),
        (b'{"\\udfff": 1}', "surrogates"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 101 + b"]" * 101, "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * 100_000, "deeper"),
        (b"9" * 4301, "digits"),
        (b"\xff", "UTF-8"),
        (b"", "line 1"),
        (b"{} {}", "Extra data"),
        (b'"\x00"', "control character"),
    ],
)
def test_what_is_not_strict_is_refused_with_the_reason(raw: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        strict_json.loads(raw)


def test_as_deep_as_allowed_is_fine() -> None:
    assert strict_json.loads(b"[" * 100 + b"]" * 100)


def test_escaped_surrogate_pair_is_one_character() -> None:
    assert strict_json.loads(b'"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}, object()])
def test_what_has_no_json_form_is_not_written(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        strict_json.dumps(value)
