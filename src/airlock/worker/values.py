"""Values of a script as strict JSON: what `json` writes, and the types of `known_types`.

`json` is tried first, in C. Only a value that it cannot write, or that Airlock would not read, is walked through, to
make a plain one of it or to say what is where.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence, Set, ValuesView
from typing import Any, Callable, NoReturn, Union

from .codec import ENCODER
from .known_types import Fields, Unfit, find

MAX_DEPTH = 100  # levels of lists and dicts; Airlock refuses more
MAX_DIGITS = 4_300  # of an integer; Airlock refuses more
MANY_BITS = 14_284  # an integer with fewer has fewer digits
MAX_STEPS = 10  # of a path that is shown
MAX_KEY = 100  # characters of a key that is shown; a longer one is not cut, as that could hide a secret from redaction
_LONG = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_Step = Union[int, str, "tuple[str]"]  # an index, a key, or the name of an attribute


def encode(value: Any, name: str, size: int, depth: int = MAX_DEPTH) -> tuple[bytes, int, str | None]:
    """Return the value as JSON of at most `size` bytes, how many values it has, and which numbers became null, if any.

    Raises TypeError or ValueError, with the path to the place that begins with `name`.
    """
    lost = None
    body, count = _as_it_is(value, depth)
    if body is None:
        walk = Walk(name, size, depth)
        try:
            plain = walk.plain(value, depth)
        except RecursionError:
            raise walk.too_deep() from None
        body, count, lost = ENCODER.encode(plain).encode(), walk.count, walk.lost
    if len(body) > size:
        raise ValueError(f"{name} has {len(body)} bytes as JSON; limits.result is {size}")
    return body, count, lost


def _as_it_is(value: Any, depth: int) -> tuple[bytes | None, int]:
    """Return the value as JSON and how many values it has, if `json` can write it and Airlock would read it."""
    try:
        body = ENCODER.encode(value).encode()
        count = _count(value, depth)
    except (TypeError, ValueError, RecursionError):
        return None, 0
    if not count or (len(body) > MAX_DIGITS and _may_have_a_long_integer(body)):
        return None, 0
    return body, count


def _may_have_a_long_integer(body: bytes) -> bool:
    """Python writes none that Airlock would not read, unless the script has lifted the limit, or Python has none."""
    limit = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 0
    return not 0 < limit <= MAX_DIGITS and _LONG.search(body) is not None


def _count(value: Any, depth: int) -> int:
    """Return the number of values; 0 for what `json` writes but Airlock refuses to read."""
    level, count = [value], 0
    for _ in range(depth):
        count += len(level)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(type(key) is str for key in item) and len(json.loads(json.dumps(dict.fromkeys(item)))) < len(
                    item
                ):
                    return 0
                below += item.values()
            elif isinstance(item, (list, tuple)):
                below += item
        level = below
        if not level:
            return count
    return 0


class Walk:
    """Goes through one value and makes a plain one of it. After an error it is of no more use."""

    def __init__(self, name: str, size: int, depth: int) -> None:
        """What would have more than `size` bytes as JSON is refused before it is made, where that can be told."""
        self.count = 1  # values, as far as they were found
        self._name = name
        self._size = size
        self._depth = depth
        self._path: list[_Step] = []
        self._open: set[int] = set()  # ids of the containers around the present place
        self._lost = 0  # numbers that JSON does not have
        self._first_lost = ""
        self._converters: dict[type, Callable[..., Any] | None] = {}

    @property
    def lost(self) -> str | None:
        """Say which numbers became null, if any did."""
        if not self._lost:
            return None
        others = f", and so are {self._lost - 1} more" if self._lost > 1 else ""
        return f"{self._first_lost} is NaN or infinite, so null in JSON{others}"

    def plain(self, value: Any, depth: int) -> Any:
        """Return the value with no other types than `json.loads` makes. Raises TypeError or ValueError."""
        kind = type(value)
        if not depth:
            raise self.too_deep()
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return self._text(value)
        if issubclass(kind, int):
            return self._integer(value)
        if issubclass(kind, float):
            return value if math.isfinite(value) else self._lose()
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        if issubclass(kind, dict):
            return self._dict(value, depth)
        if issubclass(kind, (list, tuple)):
            return self._list(value, depth)
        return self._converted(value, kind, depth)

    def too_deep(self) -> ValueError:
        """Return the error."""
        return ValueError(f"{self._name} is nested deeper than {self._depth} levels")

    def _refuse(self, kind: type[Exception], fault: str) -> NoReturn:
        raise kind(f"{self._where()} {fault}") from None

    def _where(self) -> str:
        steps = [_shown(step) for step in self._path]
        if len(steps) > MAX_STEPS:
            steps[MAX_STEPS // 2 : -MAX_STEPS // 2] = ["..."]
        return self._name + "".join(steps)

    def _converted(self, value: Any, kind: type, depth: int) -> Any:
        if kind not in self._converters:
            self._converters[kind] = find(kind)
        convert = self._converters[kind]
        if convert is not None:
            try:
                plainer = convert(value, self._make_room)
            except Unfit as error:
                self._refuse(ValueError, str(error))
            if type(plainer) is not kind:
                return self.plain(plainer, depth)
        elif issubclass(kind, Mapping):
            return self._dict(value, depth)
        elif issubclass(kind, (Sequence, Set, ValuesView)):
            return self._list(value, depth)
        return self._refuse(TypeError, f"is of type {kind.__module__}.{kind.__qualname__}, which has no form in JSON")

    def _text(self, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self._refuse(ValueError, "has lone surrogates, which JSON cannot have")
        return value

    def _integer(self, value: int) -> int:
        if value.bit_length() >= MANY_BITS and abs(value) >= 10**MAX_DIGITS:
            self._refuse(ValueError, f"is an integer of more than {MAX_DIGITS} digits")
        return value

    def _lose(self) -> None:
        self._lost += 1
        if self._lost == 1:
            self._first_lost = self._where()

    def _bytes(self, value: bytes | bytearray | memoryview) -> dict[str, str]:
        data = memoryview(value)
        self._make_room(data.nbytes // 2)  # four characters for three bytes
        self.count += 1  # the text in the dict
        return {"$base64": base64.b64encode(data).decode()}

    def _dict(self, value: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        self._enter(value)
        by_attribute = type(value) is Fields
        for key, item in value.items():
            name = self._key(key)
            if name in made:
                self._refuse(ValueError, f"has two keys that are the same text in JSON: {_shown(name)}")
            made[name] = self._item((name,) if by_attribute else name, item, depth)
        self._open.remove(id(value))
        return made

    def _list(self, value: Any, depth: int) -> list[Any]:
        self._make_room(len(value))
        self._enter(value)
        items = value
        if isinstance(value, (set, frozenset)):
            with contextlib.suppress(TypeError):  # they stay in any order then
                items = sorted(value)
        made = [self._item(number, item, depth) for number, item in enumerate(items)]
        self._open.remove(id(value))
        return made

    def _enter(self, value: Any) -> None:
        if id(value) in self._open:
            self._refuse(ValueError, "contains itself")
        self._open.add(id(value))

    def _item(self, step: _Step, item: Any, depth: int) -> Any:
        self._path.append(step)
        self.count += 1
        self._make_room(self.count)
        plain = self.plain(item, depth - 1)
        self._path.pop()
        return plain

    def _make_room(self, count: int) -> None:
        """Refuse so many values before they are made: each has two bytes or more, with a comma or brackets."""
        if 2 * count > self._size + 4:
            self._refuse(ValueError, f"is more than fits into limits.result ({self._size} bytes)")

    def _key(self, key: Any) -> str:
        """Return a key as `json` writes it: what becomes text or a number is that, a tuple is as Python shows it."""
        if type(key) is str:
            return self._text(key)
        plain = Walk(f"{self._where()}: a key", self._size, self._depth).plain(key, self._depth)
        if isinstance(plain, str):
            return plain
        if isinstance(plain, list) and isinstance(key, tuple):
            return str(tuple(plain))
        if isinstance(plain, (list, dict)):
            kind = type(key)
            self._refuse(
                TypeError, f"has a key of type {kind.__module__}.{kind.__qualname__}, which has no form in JSON"
            )
        return ENCODER.encode(plain)


def _shown(step: _Step) -> str:
    if isinstance(step, tuple):
        return f".{step[0]}"
    if isinstance(step, int):
        return f"[{step}]"
    return f"[{ENCODER.encode(step)}]" if len(step) <= MAX_KEY else "[...]"
