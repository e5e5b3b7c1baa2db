"""Core's side of a job, for tests without core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from airlock.backends import check_write
from airlock.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from airlock.backends import Stream
    from airlock.models import LLMRequest


async def never_answers(request: LLMRequest) -> str:
    """Stand in for an agent that does not answer."""
    del request
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # nobody sets a result


class RecordingSession:
    """A `Session` that remembers what a backend does with it, and notes in `faults` what it may not do.

    A fault is also raised where it happens; `faults` is for backends that talk to their session in another task.
    """

    def __init__(self, answers: Iterable[str | LLMError] | Callable[[LLMRequest], Awaitable[str]] = ()) -> None:
        """`answers` are given in turn; an `LLMError` is raised. A function is asked each time."""
        self.starts = 0
        self.requests: list[LLMRequest] = []
        self.output: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self.faults: list[str] = []
        self._answer = answers if callable(answers) else _in_turn(answers)
        self._changed = asyncio.Event()

    @property
    def stdout(self) -> str:
        """What was written to stdout so far."""
        return self.output["stdout"].decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What was written to stderr so far."""
        return self.output["stderr"].decode(errors="replace")

    async def until(self, condition: Callable[[RecordingSession], object]) -> None:
        """Wait until the condition holds; it is looked at whenever something was recorded."""
        while not condition(self):
            self._changed.clear()
            await self._changed.wait()

    async def started(self) -> None:
        """See `Session.started`."""
        self.starts += 1
        self._changed.set()
        if self.starts > 1:
            self._fault("Session.started() was called more than once")

    def write(self, stream: Stream, data: bytes) -> None:
        """See `Session.write`."""
        self._check_started("write()")
        try:
            check_write(stream, data)
        except TypeError as error:
            self._fault(str(error))
        self.output[stream] += data
        self._changed.set()

    async def complete(self, request: LLMRequest) -> str:
        """See `Session.complete`."""
        self._check_started("complete()")
        self.requests.append(request)
        self._changed.set()
        return await self._answer(request)

    def _check_started(self, call: str) -> None:
        if not self.starts:
            self._fault(f"Session.{call} came before started()")

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)
        raise AssertionError(fault)


def _in_turn(answers: Iterable[str | LLMError]) -> Callable[[LLMRequest], Awaitable[str]]:
    left = iter(answers)

    async def answer(request: LLMRequest) -> str:
        following = next(left, LLMError(f"this RecordingSession has no answer to {request.prompt!r}"))
        if isinstance(following, LLMError):
            raise following
        return following

    return answer
