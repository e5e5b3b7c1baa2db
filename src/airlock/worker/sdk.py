"""What a script sees: `settings`, `memory`, `set_result`, and `llm` of the module beside this one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import names
from .codec import MEMORY, RESULT, encode
from .llm import LLMError, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel


MAX_DEPTH = 100  # levels of lists and dicts; Airlock refuses more
MAX_MEMORY_DEPTH = 98  # the next request nests the value in `memory`, and that in the body
MAX_MEMORY_VALUES = 100_000  # in one value; a request has at most 200,000


EMPTY_JOB: dict[str, Any] = {"settings": {}, "memory": {}, "timeout": 1, "limits": {"prompt": 0}}  # but for its code


class Settings:
    """The settings of the request, overridden by those of the project."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def get(self, key: str, default: str | None = None) -> str | None:
        """Return a setting, or `default`."""
        return self._values.get(key, default)

    def keys(self) -> list[str]:
        """Return the names of all settings."""
        return list(self._values)


class Memory:
    """Values that the agent keeps between executions. Changes are reported as `memory_updates`."""

    def __init__(self, values: Mapping[str, Any], channel: Channel) -> None:
        self._values = dict(values)
        self._channel = channel

    def get(self, category: str, key: str, default: Any = None) -> Any:
        """Return a value, or `default`. Sees the script's own `set`."""
        return self._values.get(_memory_key(category, key), default)

    def set(self, category: str, key: str, value: Any) -> None:
        """Report a change. Raises TypeError or ValueError when the value has no JSON form."""
        name = _memory_key(category, key)
        _speak(self._channel, MEMORY, value, "memory.set", name)
        self._values[name] = json.loads(json.dumps(value))  # as the next execution will see it, without later changes


def provide(job: Mapping[str, Any], channel: Channel) -> None:
    """Give the script of this process its names, until the next call."""

    def set_result(value: Any) -> None:
        """Set the result of this execution; the last one counts. Raises TypeError or ValueError if it is not JSON."""
        _speak(channel, RESULT, value, "set_result")

    set_result.__qualname__ = "set_result"  # the name in messages about its arguments
    names.provide(
        settings=Settings(job["settings"]),
        memory=Memory(job["memory"], channel),
        llm=Model(channel, job["limits"]["prompt"]),
        LLMError=LLMError,
        set_result=set_result,
    )


def _speak(channel: Channel, kind: int, value: Any, what: str, memory_key: str | None = None) -> None:
    depth = MAX_DEPTH if memory_key is None else MAX_MEMORY_DEPTH
    try:
        # raises for values without a JSON form, and for cycles
        frame = encode(kind, value if memory_key is None else [memory_key, value])
        count = _check_strict(value, depth)
    except UnicodeEncodeError:
        raise ValueError(f"{what}: text with lone surrogates is not JSON") from None
    except RecursionError:
        raise ValueError(f"{what}: nested deeper than {depth} levels") from None
    except TypeError as error:
        raise TypeError(f"{what}: {error}; only str, numbers, bool, None, lists and dicts are") from None
    except ValueError as error:
        text = "NaN and infinities are not JSON; use None, or text" if "Out of range float" in str(error) else error
        raise ValueError(f"{what}: {text}") from None
    if memory_key is not None and count > MAX_MEMORY_VALUES:
        raise ValueError(f"{what}: more than {MAX_MEMORY_VALUES} values in one")
    channel.send_frame(frame)


def _check_strict(value: Any, depth: int) -> int:
    """Raise ValueError for what `json` writes but Airlock refuses to read. Returns the number of values."""
    level, count = [value], 0
    for _ in range(depth):
        count += len(level)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if not all(type(key) is str for key in item) and len(json.loads(json.dumps(dict.fromkeys(item)))) < len(
                    item
                ):
                    raise ValueError("two keys of a dict are the same text in JSON, like 1 and '1'")
                below += item.values()
            elif isinstance(item, (list, tuple)):
                below += item
        level = below
        if not level:
            return count
    raise ValueError(f"nested deeper than {depth} levels")


def is_memory_key(name: str) -> bool:
    """Return whether this is `category.key` with neither part empty."""
    return all(name.partition("."))


def _memory_key(category: str, key: str) -> str:
    if not all(isinstance(value, str) for value in (category, key)):
        raise TypeError("memory: category and key are strings")
    if not category or "." in category:
        raise ValueError(f"memory: a category is not empty and contains no dot, unlike {category[:80]!r}")
    if not key:
        raise ValueError("memory: a key is not empty")
    return f"{category}.{key}"
