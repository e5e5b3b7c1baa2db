"""The events of one execution, from any point on, until its end."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import ReferenceType, ref

from airlock import strict_json
from airlock.errors import InvalidRequest
from airlock.models import ExecutionResult, ExecutionStatus, OpenLLMRequest, StatusEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from airlock.backends import Stream
    from airlock.executions import Execution
    from airlock.plugins import Followed

MAX_TEXT: Final = 16 << 10  # characters of output in one event
PACE: Final = 0.01  # seconds between reads of output that keeps coming: what arrives in between becomes one event
KEPT: Final = 30.0  # seconds until a stream drops the execution that it looked up: stalled readers hold no memory

_ID: Final = re.compile(r"([0-9a-f]{8})\.(?:end|(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.(\d{1,15}))", re.ASCII)


class EventId(NamedTuple):
    """What a reader already has: the `id` of an event, which comes back as `Last-Event-ID`.

    It refers to nothing in the server's memory, so it survives restarts.

    The reader has the status of `version`, the LLM requests up to the version `asked`, this many characters of `stdout`
    and `stderr`, and everything if `is_end`.
    """

    version: int = -1
    asked: int = 0
    stdout: int = 0
    stderr: int = 0
    is_end: bool = False

    @classmethod
    def parse(cls, text: str, execution_id: str, location: Sequence[str]) -> EventId:
        """Parse what `text_for` wrote; an empty text means the beginning. Raises InvalidRequest.

        The standard leaves open what a server does with an id that it never sent. Ignoring the id would send everything
        again to a client that believes it has it already.
        """
        if not text:
            return cls()
        found = _ID.fullmatch(text)
        if found is None:
            raise InvalidRequest(tuple(location), "not the id of an event; leave it out to start from the beginning")
        if found[1] != _tag(execution_id):
            raise InvalidRequest(tuple(location), "the id of an event of another execution")
        if found[2] is None:
            return cls(is_end=True)
        version, asked, stdout, stderr = map(int, found.groups()[1:])
        return cls(version, asked, stdout, stderr)

    def text_for(self, execution_id: str) -> str:
        """Return the `id` of the event after which a reader has this much."""
        place = "end" if self.is_end else ".".join(map(str, self[:-1]))
        return f"{_tag(execution_id)}.{place}"


class StoredExecution:
    """A stored execution that this server does not run: nothing will change."""

    is_final = True

    def __init__(self, execution: Execution) -> None:
        self.execution = execution

    def read(self, stream: Stream, start: int, most: int) -> str:
        """See `Followed.read`."""
        text: str = getattr(self.execution, stream)
        return text[start : start + most]

    async def news(self) -> None:
        """See `Followed.news`: there is none."""

    async def change(self) -> None:
        """See `Followed.change`: there is none."""


class Event(NamedTuple):
    """One event. `data` is JSON without line breaks; `id` is how to ask for everything after it."""

    type: str
    data: bytes
    id: str


class EventStream:
    """Reads an execution's events from a reader's position on. It holds no output beyond the next event.

    A state that came and went between two reads is skipped; output never is.
    """

    def __init__(self, look: Callable[[], Awaitable[Followed]], at: EventId) -> None:
        """`look` finds the execution."""
        self._look = look
        self._at = at
        self._followed: Followed | None = None
        self._due = 0.0  # when output is read next, unless the version is no longer `_read_at`
        self._read_at = -1

    async def next(self) -> Event | None:
        """Return the next event once there is one; None when there are no more. Cancelling it loses nothing.

        Raises what `look` raises.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # lets other tasks run, and notices that a client is gone
        while True:
            followed = await self.found()
            has_gathered = loop.time() >= self._due
            if (event := self._event(followed, has_gathered=has_gathered)) is not None:
                return event
            if followed.is_final:
                return None
            if has_gathered:
                await followed.news()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._due):
                        await followed.change()

    async def found(self) -> Followed:
        """Return the execution, looked up again now and then. Raises what `look` raises."""
        if self._followed is None:
            self._followed = await self._look()
            asyncio.get_running_loop().call_later(KEPT, _forget, ref(self))
        return self._followed

    def forget(self) -> None:
        """Drop the execution until it is needed again."""
        self._followed = None

    def _event(self, followed: Followed, *, has_gathered: bool) -> Event | None:
        """Return the next event that is ready, in the order in which things happened, as far as that is known.

        A new reader gets the status first. Later, `running` comes before output; every other status and every LLM
        request comes after the output that led to it, and before any flood that follows.
        """
        execution, at = followed.execution, self._at
        if at.is_end:
            return None
        has_status = at.version == execution.version
        if at.version < 0 or (not has_status and execution.status is ExecutionStatus.running):
            return self._status(execution)
        if self._read_at != execution.version and (output := self._output(followed)) is not None:
            return output
        if not has_status:
            return self._status(execution)
        for request in execution.llm_requests:
            if request.version > at.asked:
                data = _json(OpenLLMRequest.model_validate(request).model_dump(mode="json"))
                return self._made("llm_request", data, execution, at._replace(asked=request.version))
        if execution.status.is_terminal:
            result = ExecutionResult.model_validate(execution)
            data = _json(result.model_dump(mode="json", exclude={"stdout", "stderr"}))
            return self._made("result", data, execution, EventId(is_end=True))
        return self._output(followed) if has_gathered else None

    def _output(self, followed: Followed) -> Event | None:
        execution, at = followed.execution, self._at
        if text := followed.read("stdout", at.stdout, MAX_TEXT):
            stream: Stream = "stdout"
            after = at._replace(stdout=at.stdout + len(text))
            is_all = len(text) < MAX_TEXT and not followed.read("stderr", at.stderr, 1)
        else:
            stream, text = "stderr", followed.read("stderr", at.stderr, MAX_TEXT)
            after = at._replace(stderr=at.stderr + len(text))
            is_all = len(text) < MAX_TEXT
        if is_all:  # all that led to this version of the record; later output gathers for a while
            self._read_at = execution.version
            self._due = asyncio.get_running_loop().time() + PACE
        return self._made(stream, _json({"text": text}), execution, after) if text else None

    def _status(self, execution: Execution) -> Event:
        data = _json(StatusEvent.model_validate(execution).model_dump(mode="json"))
        return self._made("status", data, execution, self._at._replace(version=execution.version))

    def _made(self, type_: str, data: bytes, execution: Execution, after: EventId) -> Event:
        self._at = after
        return Event(type_, data, after.text_for(execution.id))


def _tag(execution_id: str) -> str:
    return execution_id[:8]


def _forget(stream: ReferenceType[EventStream]) -> None:
    """Have a stream drop its execution, unless it is gone: a timer must not keep an unused stream alive."""
    if (found := stream()) is not None:
        found.forget()


def _json(value: object) -> bytes:
    """Write JSON without line breaks, even for a client that splits lines as `str.splitlines` does."""
    written = strict_json.dumps(value)
    for line_end in ("\x85", "\u2028", "\u2029"):  # the others are control characters, which JSON escapes
        written = written.replace(line_end.encode(), f"\\u{ord(line_end):04x}".encode())
    return written
