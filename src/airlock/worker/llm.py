"""`llm`: the questions that a script asks."""

from __future__ import annotations

import contextlib
import sys
from _thread import allocate_lock
from typing import TYPE_CHECKING, Any, NoReturn

from .codec import ANSWER, LLM, encode

if TYPE_CHECKING:
    from .codec import Channel

MAX_MODEL = 200  # characters in a model's name


class LLMError(Exception):
    """Raised by `llm.complete` when the answer is an error."""

    __module__ = "airlock"  # where scripts, tracebacks and pickle find it


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

    def __init__(self, channel: Channel, max_prompt: int) -> None:
        """`max_prompt` is `limits.prompt`, in bytes of UTF-8."""
        self._channel = channel
        self._max_prompt = max_prompt
        self._lock = allocate_lock()
        self._asked = 0
        self._open: dict[int, Question] = {}
        self._leader: Question | None = None

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("llm works only in the script's own process: for several questions at once, use threads")

    def complete(self, prompt: str, model: str = "default") -> str:
        """Ask, and wait for the answer.

        Raises LLMError when the answer is an error, ValueError when the prompt is longer than `limits.prompt`, and
        RuntimeError in a child process of the script.
        """
        self._check(prompt, model)
        question = Question()
        flush_output()  # so that whoever answers sees the earlier output
        with self._lock:
            number = self._asked + 1
            self._channel.send_frame(encode(LLM, {"id": number, "prompt": prompt, "model": model}))
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

    def _check(self, prompt: str, model: str) -> None:
        given: tuple[tuple[str, object], ...] = (("prompt", prompt), ("model", model))
        for name, value in given:
            if not isinstance(value, str):
                kind = type(value)
                raise TypeError(f"llm.complete: {name} is a string, not a {kind.__module__}.{kind.__qualname__}")
        if len(model) > MAX_MODEL:
            raise ValueError(f"llm.complete: a model has at most {MAX_MODEL} characters")
        try:
            size = len(prompt.encode())
            model.encode()
        except UnicodeEncodeError:
            raise ValueError("llm.complete: text with lone surrogates is not JSON") from None
        if size > self._max_prompt:
            raise ValueError(f"llm.complete: the prompt has {size} bytes; limits.prompt is {self._max_prompt}")
        self._channel.check_process()  # before the lock, which a fork may have copied while a thread held it

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
