"""What a script sees: `settings`, `memory`, `llm`, `set_result`."""

from __future__ import annotations

import contextlib
import json
import sys
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any

from .codec import ANSWER, LLM, MEMORY, RESULT, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel


MAX_DEPTH = 100  # levels of lists and dicts; Airlock refuses more
MAX_MEMORY_DEPTH = 98  # the next request nests the value in `memory`, and that in the body
MAX_MEMORY_VALUES = 100_000  # in one value; a request has at most 200,000
MAX_MODEL = 200  # characters in a model's name


class LLMError(Exception):
    """Raised by `llm.complete` when the answer is an error."""


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


class Question:
    """One open LLM request. `wake` is locked until there is an answer, or until its owner has to read the channel."""

    __slots__ = ("answer", "wake")

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.wake = allocate_lock()
        self.wake.acquire()


class Model:
    """Sends LLM requests to the agent or the project's mediator. Several threads may do so at once.

    There is no reader thread: one of the waiting threads reads the channel for all (leader and followers).
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = allocate_lock()
        self._asked = 0
        self._open: dict[int, Question] = {}
        self._leader: Question | None = None

    def complete(self, prompt: str, model: str = "default") -> str:
        """Ask, and wait for the answer. Raises LLMError when the answer is an error."""
        if not all(isinstance(value, str) for value in (prompt, model)):
            raise TypeError("llm.complete: prompt and model are strings")
        if len(model) > MAX_MODEL:
            raise ValueError(f"llm.complete: a model has at most {MAX_MODEL} characters")
        question = Question()
        flush_output()  # so that whoever answers sees the earlier output
        with self._lock:
            number = self._asked + 1
            _speak(self._channel, LLM, {"id": number, "prompt": prompt, "model": model}, "llm.complete")
            self._asked = number
            self._open[number] = question
            if self._leader is None:
                self._leader = question
        try:
            while question.answer is None:
                if self._leader is question:
                    self._read_one(question)
                else:
                    question.wake.acquire()
        finally:
            with self._lock:
                self._open.pop(number, None)
                if self._leader is question:
                    self._leader = next(iter(self._open.values()), None)
                    if self._leader is not None:
                        self._leader.wake.release()
        if "error" in question.answer:
            raise LLMError(question.answer["error"])
        return str(question.answer["answer"])

    def _read_one(self, own: Question) -> None:
        kind, body = self._channel.receive()
        if kind != ANSWER:
            return
        with self._lock:
            question = self._open.pop(body["id"], None)
        if question is not None:
            question.answer = body
            if question is not own:
                question.wake.release()


def flush_output() -> None:
    """Flush the output that Python still buffers."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed or replaced by the script: nothing to flush
            stream.flush()


def script_globals(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Return the names that Airlock adds to a script."""

    def set_result(value: Any) -> None:
        """Set the result of this execution; the last one counts. Raises TypeError or ValueError if it is not JSON."""
        _speak(channel, RESULT, value, "set_result")

    set_result.__qualname__ = "set_result"  # the name in messages about its arguments
    added: dict[str, Any] = {
        "settings": Settings(job["settings"]),
        "memory": Memory(job["memory"], channel),
        "llm": Model(channel),
        "LLMError": LLMError,
        "set_result": set_result,
    }
    return added


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
