"""A sandbox that does what a test says, for the tests of `SandboxRun`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from airlock import Job, Limits, LLMRequest, Outcome
from airlock.sandbox import Counters, SandboxRun
from airlock.testing import RecordingRun
from airlock.worker import codec

LIMITS = Limits(memory=64 << 20, processes=7, file_size=1 << 20)
CORES = 2


class Counted(Counters):
    """Counters with values that a test sets."""

    def __init__(self) -> None:
        super().__init__([])
        self.used = 0.0
        self.kills = self.refused = self.looks = 0

    @property
    def counts_cpu_time(self) -> bool:
        return True

    @property
    def counts_memory(self) -> bool:
        return True

    def cpu_time(self) -> float:
        self.looks += 1
        return self.used

    def oom_kills(self) -> int:
        return self.kills

    def refused_forks(self) -> int:
        return self.refused


class Sandbox:
    """A sandbox that does what a test says."""

    def __init__(self, *, timeout: int = 1, counted: bool = True, answer: Callable[[LLMRequest], Any] | None = None):
        self.counters = Counted()
        self.sent = b""
        self.ends = 0
        self.record = RecordingRun(answer) if answer else RecordingRun()
        self.run = SandboxRun(
            Job(id="1", code="", timeout=timeout),
            self.record,
            LIMITS,
            self.send,
            cores=CORES,
            counters=self.counters if counted else None,
        )

    def send(self, data: bytes) -> None:
        self.sent += data

    async def end(self) -> None:
        self.ends += 1
        self.record.write("stderr", b"last words\n")

    def start(self, killed_for_memory: Any = None) -> asyncio.Task[Outcome]:
        async def run() -> Outcome:
            await self.run.started()
            return await self.run.outcome(self.end, killed_for_memory)

        return asyncio.create_task(run())

    async def until_sent(self, running: asyncio.Task[Outcome]) -> None:
        while not self.sent:
            assert not running.done()
            await asyncio.sleep(0)

    async def exits(self, code: int | None, killed_for_memory: Any = None) -> Outcome:
        running = self.start(killed_for_memory)
        await self.until_sent(running)
        self.run.exited(code)
        return await running

    async def says(self, error: str | None) -> Outcome:
        running = self.start()
        await self.until_sent(running)
        self.run.feed(codec.encode(codec.END, {"error": error}))
        return await running
