"""Airlock's side of the worker protocol (`worker/codec.py`). Every byte that it reads may be hostile."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from typing import TYPE_CHECKING, Any, Final

from airlock import strict_json
from airlock.backends import EXIT_CODES, Outcome
from airlock.errors import LLMError, ProtocolViolation
from airlock.models import LLMRequest
from airlock.units import format_size
from airlock.worker import codec
from airlock.worker.llm import MAX_MODEL
from airlock.worker.sdk import is_memory_key

from .frames import FrameReader, FrameTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Job, Limits, Run

log = logging.getLogger(__name__)

MAX_UNREAD: Final = 64 << 20  # bytes of answers that the server keeps for a script that does not read them
_KEY: Final = re.compile(rb'\s*\[\s*("(?:[^"\\]++|\\.)*+")', re.DOTALL)  # of a memory frame: ["category.key", value]
_SLACK: Final = 4_096  # a frame is a little larger than the value in it


class Conversation:
    """One job, talked through with one worker, whatever carries the bytes.

    A `Worker.run` makes one, calls `start` after `run.started()`, hands everything that arrives to `feed`, calls
    `exited` when the worker is gone, awaits `ended`, and calls `close` in the end, whatever happened:

        conversation = Conversation(job, run, limits, send)
        await run.started()
        conversation.start()
        outcome = await conversation.ended
    """

    def __init__(self, job: Job, run: Run, limits: Limits, send: Callable[[bytes], int | None]) -> None:
        """`send` takes bytes of any size and never blocks: what the transport does not take now, it keeps.

        It may return how many bytes it keeps: a script that reads none of its answers is ended before they are many.
        """
        self._job = job
        self._run = run
        self._limits = limits
        self._send = send
        # A character may take six bytes as JSON (\\u0000), so a prompt within its limit may take that much.
        self._reader = FrameReader(max(limits.result, 6 * limits.prompt) + _SLACK)
        self._result: bytes | None = None
        self._memory: dict[str, bytes] = {}  # frames; only the last one of each key counts, so only those are parsed
        self._memory_size = 0
        self._asked = 0
        self._answering: set[asyncio.Task[None]] = set()
        self.said_end = False  # the script has finished; otherwise it was ended, or ended itself
        self.exit_code: int | None = None  # of END, for which there is only the script's own word, or of `exited`
        self.ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Hand the job over."""
        job = self._job
        self._send(
            codec.encode(
                codec.JOB,
                {
                    "code": job.code,
                    "settings": dict(job.settings),
                    "memory": dict(job.memory),
                    "timeout": job.timeout,
                    "limits": {"prompt": self._limits.prompt, "result": self._limits.result},
                },
            )
        )

    def feed(self, data: bytes) -> None:
        """Take what the worker sent. Never raises: a violation ends the conversation as `protocol`."""
        if self.ended.done():
            return
        try:
            for kind, body in self._reader.feed(data):
                self._frame(kind, body)
                if self.ended.done():
                    return
        except FrameTooLarge as frame:
            self._end_too_large(frame)
        except ProtocolViolation as violation:
            self.end("protocol", f"protocol violation: {violation}")

    def exited(self, code: int | None) -> None:
        """Say that the script's process is gone without END: its exit code, negative for a signal, None if unknown.

        The code must come from who saw the process end, by a way that the script has no hold of.
        """
        if not self.ended.done():
            self.exit_code = code
        if code is None:
            self.end("worker_lost", "the worker was lost")
        elif self._reader.is_amid_frame:
            self.end("protocol", "protocol violation: the script's process ended in the middle of a frame")
        elif code < 0:
            self.end("script_error", f"the script was killed by {_signal_name(-code)}")
        else:
            self.end("script_error" if code else None, f"the script ended with exit code {code}" if code else None)

    def end(self, error_type: str | None, error: str | None) -> None:
        """Settle how it ended, unless that is settled already."""
        if self.ended.done():
            return
        result, updates, violation = self.reported()
        if violation is not None and error_type in (None, "script_error"):
            error_type, error = "protocol", f"protocol violation: {violation}"
        self.ended.set_result(
            Outcome(result=result, memory_updates=updates, error=error, error_type=error_type, exit_code=self.exit_code)
        )

    def reported(self) -> tuple[Any, dict[str, Any], ProtocolViolation | None]:
        """Return the last result and the memory updates that came so far, without those that are a violation."""
        result, updates, violation = None, {}, None
        try:
            result = None if self._result is None else _parse(self._result, "result")
        except ProtocolViolation as found:
            violation = found
        for body in self._memory.values():
            try:
                key, value = _memory_update(body)
            except ProtocolViolation as found:
                violation = violation or found
            else:
                updates[key] = value
        return result, updates, violation

    async def close(self) -> None:
        """Let go of requests that nobody waits for any more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _frame(self, kind: int, body: bytes) -> None:
        if kind == codec.RESULT:
            if len(body) > self._limits.result:
                self._over("result", len(body))
            else:
                self._result = body  # only the last one counts, so only that one is parsed
        elif kind == codec.MEMORY:
            self._on_memory(body)
        elif kind == codec.LLM:
            self._on_llm(body)
        elif kind == codec.END:
            self._on_end(body)
        else:
            raise ProtocolViolation(f"frame of kind {kind}")

    def _on_memory(self, body: bytes) -> None:
        key = _memory_key(body)
        size = self._memory_size + len(body) - len(self._memory.get(key, b""))
        if size > self._limits.result:
            self._over("memory_updates", size)
        else:
            self._memory_size, self._memory[key] = size, body

    def _on_llm(self, body: bytes) -> None:
        match _parse(body, "llm"):
            case {"id": int(number), "prompt": str(prompt), "model": str(model), **rest} if not rest:
                # bool is an int, and True == 1
                if type(number) is not int or number != self._asked + 1 or len(model) > MAX_MODEL:
                    raise ProtocolViolation("malformed llm frame")
            case _:
                raise ProtocolViolation("malformed llm frame")
        self._asked = number
        self._reader.allow(codec.HEADER.size + len(body))  # the number of questions has a limit of its own
        task = asyncio.get_running_loop().create_task(self._answer(number, LLMRequest(prompt=prompt, model=model)))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, number: int, request: LLMRequest) -> None:
        try:
            answer = {"id": number, "answer": await self._run.complete(request)}
        except LLMError as error:
            answer = {"id": number, "error": str(error)}
        except Exception:
            log.exception("an LLM request could not be handled")
            self.end("internal", "Airlock could not handle an LLM request of the script; its log says why")
            return
        if not self.ended.done() and (self._send(codec.encode(codec.ANSWER, answer)) or 0) > MAX_UNREAD:
            self.end("protocol", "protocol violation: the script does not read its answers")

    def _on_end(self, body: bytes) -> None:
        match _parse(body, "end"):
            case {"error": None | str() as error, **rest}:
                self.exit_code = _exit_code(rest)
            case _:
                raise ProtocolViolation("malformed end frame")
        self.said_end = True
        if error is None:
            self.end(None, None)
            return
        error = error.strip() or "the script failed"  # core makes one line of it, when no secret is in it
        if error.split(":")[0] == "MemoryError":
            self.end("memory_limit", f"{error} (limits.memory is {format_size(self._limits.memory)})")
        else:
            self.end("script_error", error)

    def _end_too_large(self, frame: FrameTooLarge) -> None:
        """Name the limit: an honest script may well have a result that is too large, and should hear so."""
        if frame.kind in (codec.RESULT, codec.MEMORY):
            self._over("result" if frame.kind == codec.RESULT else "memory_updates", frame.size)
        elif frame.kind == codec.LLM:
            limit = format_size(self._limits.prompt)
            self.end("llm_limit", f"a prompt of about {frame.size} bytes exceeds limits.prompt ({limit})")
        else:
            self.end("protocol", f"protocol violation: {frame}")

    def _over(self, what: str, size: int) -> None:
        self.end(
            "result_limit", f"{what} has {size} bytes as JSON; limits.result is {format_size(self._limits.result)}"
        )


def _parse(body: bytes, what: str) -> Any:
    try:
        return strict_json.loads(body)
    except ValueError as error:
        raise ProtocolViolation(f"{what} frame: {error}") from None


def _memory_key(body: bytes) -> str:
    """Read only the key of a memory frame: a script may send many for the same key."""
    found = _KEY.match(body)
    key = None if found is None else _parse(found[1], "memory")
    if not isinstance(key, str) or not is_memory_key(key):
        raise ProtocolViolation("malformed memory frame")
    return key


def _memory_update(body: bytes) -> tuple[str, Any]:
    match _parse(body, "memory"):
        case [str(key), value]:
            return key, value
    raise ProtocolViolation("malformed memory frame")


def _exit_code(rest: dict[Any, Any]) -> int | None:
    """Return the exit code, which may be missing; there is nothing else beside `error`."""
    match rest:
        case {"exit_code": int(code), **more} if not more and type(code) is int and code in EXIT_CODES:
            return code
        case {**more} if not more:
            return None
    raise ProtocolViolation("malformed end frame")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
