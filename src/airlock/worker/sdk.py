"""What a script sees: `settings`, `memory`, `set_result`, and `llm` of the module beside this one."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from . import names, values
from .codec import ENCODER, MEMORY, RESULT, frame
from .llm import LLMError, Model, flush_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel


MAX_MEMORY_DEPTH = 98  # the next request nests the value in `memory`, and that in the body
MAX_MEMORY_VALUES = 100_000  # in one value; a request has at most 200,000

LIMITS = {"prompt": 0, "result": 1024}
EMPTY_JOB: dict[str, Any] = {"settings": {}, "memory": {}, "timeout": 1, "limits": LIMITS}  # but for its code


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


class Report:
    """Tells Airlock what the script reports, within `limits.result`."""

    def __init__(self, channel: Channel, size: int) -> None:
        self._channel = channel
        self._size = size
        self._sizes: dict[str, int] = {}  # of the last value for each key of memory
        self._total = 0
        self._has_told = False

    def result(self, value: Any) -> None:
        """Report the result. Raises TypeError or ValueError when the value has no JSON form, or is too large."""
        body, _, lost = values.encode(value, "set_result: result", self._size)
        self._channel.send_frame(frame(RESULT, body))
        self._tell(lost)

    def memory(self, key: str, value: Any, name: str, before: bytes | None = None) -> bytes:
        """Report a value, called `name`, unless it is as `before`; return it as JSON. Raises as `result` does."""
        body, count, lost = values.encode(value, name, self._size, MAX_MEMORY_DEPTH)
        if count > MAX_MEMORY_VALUES:
            raise ValueError(f"{name} has more than {MAX_MEMORY_VALUES} values")
        if body != before:
            update = b"[%b, %b]" % (ENCODER.encode(key).encode(), body)
            total = self._total + len(update) - self._sizes.get(key, 0)
            if total > self._size:
                raise ValueError(f"{name}: memory_updates would have {total} bytes; limits.result is {self._size}")
            self._channel.send_frame(frame(MEMORY, update))
            self._total, self._sizes[key] = total, len(update)
            self._tell(lost)
        return body

    def _tell(self, lost: str | None) -> None:
        if lost is not None and not self._has_told:
            self._has_told = True
            tell(lost)


class Memory:
    """Values that the agent keeps between executions. Changes are reported as `memory_updates`."""

    def __init__(self, values: Mapping[str, Any], report: Report) -> None:
        self._values = dict(values)
        self._report = report
        self._handed_out: dict[str, bytes] = {}  # what the script can change in place, as it was last reported

    def get(self, category: str, key: str, default: Any = None) -> Any:
        """Return a value, or `default`. Sees the script's own `set`; what is changed in it is reported at the end."""
        name = _memory_key(category, key)
        if name not in self._values:
            return default
        value = self._values[name]
        if isinstance(value, (list, dict)) and name not in self._handed_out:
            self._handed_out[name] = ENCODER.encode(value).encode()
        return value

    def set(self, category: str, key: str, value: Any) -> None:
        """Report a change. Raises TypeError or ValueError when the value has no JSON form, or is too large."""
        name = _memory_key(category, key)
        body = self._report.memory(name, value, "memory.set: value")
        if name in self._handed_out and value is self._values[name]:
            self._handed_out[name] = body
        else:
            self._values[name] = json.loads(body)  # as the next execution will see it, without later changes
            self._handed_out.pop(name, None)

    def report_changes(self) -> None:
        """Report what the script has changed in place. What cannot be reported is named on stderr."""
        for name, before in list(self._handed_out.items()):
            category, _, key = name.partition(".")
            called = f"memory.get({json.dumps(category)}, {json.dumps(key)})"
            try:
                self._handed_out[name] = self._report.memory(name, self._values[name], called, before)
            except (TypeError, ValueError) as error:
                tell(f"a change is not stored: {error}")
            except BaseException as error:  # noqa: BLE001 - what the script has put there may raise anything
                tell(f"a change is not stored: {called}: {type(error).__name__}")


_given: dict[str, Any] = {}


def provide(job: Mapping[str, Any], channel: Channel) -> None:
    """Give the script of this process its names, until the next call."""
    report = Report(channel, job["limits"]["result"])

    def set_result(value: Any) -> None:
        """Set the result of this execution; the last one counts.

        Raises TypeError or ValueError when the value has no JSON form, or is too large.
        """
        report.result(value)

    set_result.__qualname__ = "set_result"  # the name in messages about its arguments
    _given.update(
        settings=Settings(job["settings"]),
        memory=Memory(job["memory"], report),
        llm=Model(channel, job["limits"]["prompt"]),
        LLMError=LLMError,
        set_result=set_result,
    )
    names.provide(**_given)


def finish() -> None:
    """Report what is known only at the end: call this after the last code of the script, before END."""
    _given["memory"].report_changes()


def tell(line: str) -> None:
    """Write a line to stderr, whatever the script has made of `sys.stderr`."""
    flush_output()
    with contextlib.suppress(OSError):
        os.write(2, f"airlock: {line}\n".encode("utf-8", "backslashreplace"))


def is_memory_key(name: str) -> bool:
    """Return whether this is `category.key` with neither part empty."""
    return all(name.partition("."))


def _memory_key(category: str, key: str) -> str:
    if not all(isinstance(value, str) for value in (category, key)):
        raise TypeError("memory: category and key are strings")
    if not category or "." in category:
        shown = f", unlike {category!r}" if len(category) <= values.MAX_KEY else ""
        raise ValueError(f"memory: a category is not empty and contains no dot{shown}")
    if not key:
        raise ValueError("memory: a key is not empty")
    return f"{category}.{key}"
