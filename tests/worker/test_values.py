"""Values as JSON: those that no contract test of a backend has."""

import array
import collections
import json
import sqlite3
import sys
from typing import Any

import pydantic
import pytest

from airlock import strict_json
from airlock.worker import values


class Inner(pydantic.BaseModel):
    tags: set[str] = {"a"}


class Model(pydantic.BaseModel):
    inner: Inner = Inner()
    raw: bytes = b"x"


def as_json(value: Any, size: int = 1 << 20) -> Any:
    body, count, _ = values.encode(value, "value", size)
    made = strict_json.loads(body)
    assert count == counted(made)
    return made


def counted(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(counted, value.values()))
    return 1 + sum(map(counted, value)) if isinstance(value, list) else 1


def rows() -> list[Any]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    with connection:
        found = connection.execute("SELECT 1 AS a, 'x' AS b").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Model(), {"inner": {"tags": ["a"]}, "raw": {"$base64": "eA=="}}),
        (pydantic.RootModel[list[bytes]]([b"x"]), [{"$base64": "eA=="}]),
        (rows(), [{"a": 1, "b": "x"}]),
        ([array.array("d", [1.5]), {"x"}], [[1.5], ["x"]]),
        ([collections.UserDict(a=1), collections.UserString("b"), collections.UserList([2])], [{"a": 1}, "b", [2]]),
        ({frozenset(), 1}, None),  # cannot be sorted
    ],
)
def test_types_of_libraries_have_a_form(value: Any, expected: Any) -> None:
    made = as_json(value)
    assert made == expected or (expected is None and sorted(made, key=str) == [1, []])


def test_what_has_exactly_the_size_is_taken() -> None:
    value, text = {(1, "a"): [None]}, """{"(1, 'a')": [null]}"""
    assert as_json(value, len(text)) == json.loads(text)
    with pytest.raises(ValueError, match=f"value has {len(text)} bytes as JSON; limits.result is {len(text) - 1}"):
        as_json(value, len(text) - 1)


@pytest.mark.parametrize("value", [[[]] * 333, [1] * 333, {"a": set(range(9))}, [{1, 2}] * 100])
def test_an_estimate_refuses_nothing_that_fits(value: Any) -> None:
    plain = json.dumps(value, default=list)
    for also in (value, [value, {0}]):
        text = plain if also is value else f"[{plain}, [0]]"
        assert json.dumps(as_json(also, len(text))) == text


def test_a_large_value_is_refused_before_it_is_made() -> None:
    class Large(collections.UserList[int]):
        def __len__(self) -> int:
            return 1 << 40

        def __iter__(self) -> Any:
            raise AssertionError

    for large in (Large(), range(1 << 40), {"a": [b"x" * 1000]}):
        with pytest.raises(ValueError, match=r"is more than fits into limits\.result \(900 bytes\)"):
            as_json(large, 900)


def test_long_paths_and_keys_are_shown_in_part() -> None:
    value: Any = object()
    for number in range(20):
        value = {str(number): value}
    with pytest.raises(TypeError, match=r'^value\["19"\]\["18"\]\["17"\]\["16"\]\["15"\]\.\.\.\["4"\]') as caught:
        as_json({"x" * 101: [1]} | value)
    assert str(caught.value).endswith('["0"] is of type builtins.object, which has no form in JSON')
    with pytest.raises(TypeError, match=r"^value\[\.\.\.\]\[0\] is of type"):
        as_json({"x" * 101: [object()]})


def test_integers_of_many_digits_are_refused_even_if_the_script_may_write_them() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        for value in (10**4300, [-(10**4300)], {"a": [10**5000]}):
            with pytest.raises(ValueError, match="is an integer of more than 4300 digits"):
                as_json(value)
        assert as_json([10**4300 - 1, "1" * 5000]) == [10**4300 - 1, "1" * 5000]
    finally:
        sys.set_int_max_str_digits(before)
