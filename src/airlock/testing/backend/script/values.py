"""The part of `BackendContract` about what a script may report: which types, and how what has no form is refused."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

USUAL = """
import collections, dataclasses, datetime, decimal, enum, fractions, pathlib, types, uuid

class Colour(enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Point:
    x: int
    kept: object

Pair = collections.namedtuple("Pair", "first second")
day = datetime.date(2026, 1, 2)
set_result({
    "times": [datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc), day, datetime.time(3, 4),
              datetime.timedelta(minutes=1, milliseconds=500)],
    "texts": [decimal.Decimal("3.10"), uuid.UUID(int=1), pathlib.PurePosixPath("/a"), Colour.RED,
              fractions.Fraction(1, 3)],
    "objects": [Point(1, Point(2, {day})), Pair(1, 2), types.SimpleNamespace(a=1)],
    "lists": [{3, 1, 2}, frozenset("a"), collections.deque([1]), range(2), {"a": 1}.keys(), {"a": 1}.items()],
    "dicts": [collections.OrderedDict(a=1), collections.defaultdict(int, {1: 2}), types.MappingProxyType({"a": 1})],
    "bytes": [b"hi", bytearray(b"hi"), memoryview(b"hi")],
    "keys": {("a", 1): 1, day: 2, 1.5: 3, None: 4, True: 5, Colour.RED: 6, 7: 8},
})
"""
AS_JSON = {
    "times": ["2026-01-02T03:04:00+00:00", "2026-01-02", "03:04:00", 60.5],
    "texts": ["3.10", "00000000-0000-0000-0000-000000000001", "/a", "red", "1/3"],
    "objects": [{"x": 1, "kept": {"x": 2, "kept": ["2026-01-02"]}}, [1, 2], {"a": 1}],
    "lists": [[1, 2, 3], ["a"], [1], [0, 1], ["a"], [["a", 1]]],
    "dicts": [{"a": 1}, {"1": 2}, {"a": 1}],
    "bytes": [{"$base64": "aGk="}] * 3,
    "keys": {"('a', 1)": 1, "2026-01-02": 2, "1.5": 3, "null": 4, "true": 5, "red": 6, "7": 8},
}
REFUSED = """
import collections, dataclasses, sys, types

class Event:
    pass

@dataclasses.dataclass
class Row:
    when: object

class Liar:
    __class__ = property(lambda self: dict)

class Endless(collections.abc.Sequence):
    def __len__(self): return 3
    def __getitem__(self, number): return number

class Deceiver:
    __module__ = "numpy"
    __qualname__ = "ndarray"

loop = {}
loop["again"] = [loop]
sys.modules["numpy"] = types.ModuleType("numpy")
said = []
for value in (
    {"rows": [1, 2, 3, Row(Event())]}, Liar(), [{b"key": 1}], {"a": {1: 1, "1": 2}}, loop, Endless(), range(10**15),
    (n for n in "ab"), ["x" * (1 << 20)],
):
    try:
        set_result(value)
    except (TypeError, ValueError) as error:
        said.append(f"{type(error).__name__}: {error}")
try:
    set_result(Deceiver())
except AttributeError:
    said.append("deceived itself")
set_result(said)
"""
SAID = [
    'TypeError: set_result: result["rows"][3].when is of type __main__.Event, which has no form in JSON',
    "TypeError: set_result: result is of type __main__.Liar, which has no form in JSON",
    "TypeError: set_result: result[0] has a key of type builtins.bytes, which has no form in JSON",
    'ValueError: set_result: result["a"] has two keys that are the same text in JSON: ["1"]',
    'ValueError: set_result: result["again"][0] contains itself',
    "ValueError: set_result: result[524289] is more than fits into limits.result (1048576 bytes)",
    "ValueError: set_result: result is more than fits into limits.result (1048576 bytes)",
    "TypeError: set_result: result is of type builtins.generator, which has no form in JSON",
    "ValueError: set_result: result has 1048580 bytes as JSON; limits.result is 1048576",
    "deceived itself",
]
IN_PLACE = """
user = memory.get("user", "profile")
user["visits"] += 1
memory.get("user", "unchanged")
memory.get("user", "new", []).append(1)
bad = memory.get("user", "bad")
bad["when"] = object()
both = memory.get("user", "both")
memory.set("user", "both", both)
both.append(2)
print(memory.get("user", "profile"))
"""


@pytest.mark.anyio
class Values(BackendBench):
    """A script reports what it has; what cannot be JSON is refused at its line."""

    @needs("runs_code")
    async def test_usual_types_have_a_form(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, USUAL) == AS_JSON

    @needs("runs_code")
    async def test_numbers_that_are_not_finite_become_null_and_are_said_once(self, shared: Backend[Any]) -> None:
        code = """
nan = float("nan")
set_result({"a": [1.5, nan, -float("inf")]})
memory.set("a", "b", nan)
"""
        outcome, run = await self.run(shared, code)
        assert (outcome.result, dict(outcome.memory_updates)) == ({"a": [1.5, None, None]}, {"a.b": None})
        where = 'set_result: result["a"][1]'
        assert run.stderr == f"airlock: {where} is NaN or infinite, so null in JSON, and so are 1 more\n"

    @needs("runs_code")
    async def test_what_has_no_form_is_refused_with_its_path_and_type(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, REFUSED) == SAID

    @needs("runs_code")
    async def test_error_that_is_not_caught_shows_the_line(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "class Event: pass\nmemory.set('a', 'b', [Event()])")
        said = "memory.set: value[0] is of type __main__.Event, which has no form in JSON"
        assert (outcome.error, outcome.error_type) == (f"TypeError: {said}", "script_error")
        assert "line 2, in <module>" in run.stderr

    @needs("runs_code")
    async def test_change_of_what_memory_returned_is_reported(self, shared: Backend[Any]) -> None:
        before = {"profile": {"visits": 4}, "unchanged": [1], "bad": {}, "both": [1]}
        outcome, run = await self.run(shared, IN_PLACE, memory={f"user.{key}": value for key, value in before.items()})
        assert outcome.error is None
        assert dict(outcome.memory_updates) == {"user.profile": {"visits": 5}, "user.both": [1, 2]}
        assert run.stdout == "{'visits': 5}\n"
        what = 'memory.get("user", "bad")["when"] is of type builtins.object, which has no form in JSON'
        assert run.stderr == f"airlock: a change is not stored: {what}\n"

    @needs("runs_code")
    async def test_memory_updates_that_are_too_many_together_are_an_error_to_catch(self, shared: Backend[Any]) -> None:
        code = """
try:
    for n in range(4): memory.set("a", str(n), "x" * 400_000)
except ValueError as error:
    set_result([n, str(error)])
"""
        total = "memory_updates would have 1200033 bytes; limits.result is 1048576"
        assert await self.result_of(shared, code) == [2, f"memory.set: value: {total}"]
