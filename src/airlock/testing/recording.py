"""Stands in for core: the run that a backend gets, for tests without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airlock.backends import check_write
from airlock.errors import LLMError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from airlock.backends import Stream
    from airlock.models import LLMRequest


async def never_answers(request: LLMRequest) -> str:
    """Stand in for an agent that does not answer."""
    del request
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never resolved


class RecordingRun:
    """A `Run` that records what a backend does with it, and lists violations of the contract in `faults`.

    A fault is also raised where it occurs; `faults` is for backends that use their run in another task.
    """

    def __init__(self, answers: Iterable[str | LLMError] | Callable[[LLMRequest], Awaitable[str]] = ()) -> None:
        """`answers` are used in turn, and an `LLMError` is raised; a function is called for each request."""
        self.starts = 0
        self.requests: list[LLMRequest] = []
        self.output: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.kept: tuple[Any, dict[str, Any]] | None = None
        self._answer = answers if callable(answers) else _in_turn(answers)
        self._changed = asyncio.Event()
        self._on_pause: Callable[[bool], None] = lambda _: None
        self._open = 0

    @property
    def has_started(self) -> bool:
        """See `Run.has_started`."""
        return self.starts > 0

    @property
    def stdout(self) -> str:
        """What has been written to stdout so far."""
        return self.output["stdout"].decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What has been written to stderr so far."""
        return self.output["stderr"].decode(errors="replace")

    async def until(self, condition: Callable[[RecordingRun], object]) -> None:
        """Wait until the condition holds; it is checked after each recorded call."""
        while not condition(self):
            self._changed.clear()
            await self._changed.wait()

    async def started(self) -> None:
        """See `Run.started`."""
        self.starts += 1
        self._changed.set()
        if self.starts > 1:
            self._fault("Run.started() was called more than once")

    def write(self, stream: Stream, data: bytes) -> None:
        """See `Run.write`."""
        self._check_started("write()")
        try:
            check_write(stream, data)
        except TypeError as error:
            self._fault(str(error))
        self.output[stream] += data
        self._changed.set()

    async def complete(self, request: LLMRequest) -> str:
        """See `Run.complete`."""
        self._check_started("complete()")
        self.requests.append(request)
        self._changed.set()
        self._open += 1
        if self._open == 1:
            self._on_pause(True)
        try:
            return await self._answer(request)
        finally:
            self._open -= 1
            if not self._open:
                self._on_pause(False)

    def note(self, text: str) -> None:
        """See `Run.note`."""
        self._check_started("note()")
        self.notes.append(text)

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        """See `Run.keep`."""
        self._check_started("keep()")
        self.kept = result, dict(memory_updates)

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """See `Run.on_pause`."""
        self._on_pause = changed

    def _check_started(self, call: str) -> None:
        if not self.starts:
            self._fault(f"Run.{call} was called before started()")

    def _fault(self, fault: str) -> None:
        self.faults.append(fault)
        raise AssertionError(fault)


def _in_turn(answers: Iterable[str | LLMError]) -> Callable[[LLMRequest], Awaitable[str]]:
    left = iter(answers)

    async def answer(request: LLMRequest) -> str:
        following = next(left, LLMError(f"this RecordingRun has no answer to {request.prompt!r}"))
        if isinstance(following, LLMError):
            raise following
        return following

    return answer
