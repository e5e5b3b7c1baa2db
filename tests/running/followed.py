"""An execution that a test drives and follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airlock.executions import Execution
from airlock.models import ExecutionStatus
from airlock.running.events import EventId, EventStream
from airlock.running.output import Output

if TYPE_CHECKING:
    from airlock.backends.backend import Stream


class FollowedByHand:
    """A running execution."""

    is_final = False

    def __init__(self) -> None:
        self.execution = Execution(
            id="01234567", project="p", code="", timeout=1, version=1, status=ExecutionStatus.running
        )
        self.output = {"stdout": Output(1 << 20), "stderr": Output(1 << 20)}
        self.looked = 0
        self._news = asyncio.Event()

    def read(self, stream: Stream, start: int, most: int) -> str:
        self.looked += stream == "stdout"
        return self.output[stream].read(start, most)

    def write(self, data: bytes) -> None:
        self.output["stdout"].write(data)
        self._news.set()

    async def news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def change(self) -> None:
        await asyncio.sleep(60)


def events_of(followed: FollowedByHand) -> EventStream:
    async def look() -> FollowedByHand:
        return followed

    return EventStream(look, EventId(version=1))
