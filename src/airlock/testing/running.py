"""A pooled backend that is up, with short ways to run scripts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airlock.backends import Job, Outcome, PooledBackend
from airlock.models import LLMRequest

from .recording import RecordingRun

B = TypeVar("B", bound=PooledBackend[Any])
Answer = Callable[[LLMRequest], Awaitable[str]]


async def _echo(request: LLMRequest) -> str:
    return f"{request.model} says {request.prompt}"


@dataclass
class Ran:
    """The outcome of an execution, with all that was recorded."""

    outcome: Outcome
    run: RecordingRun
    seconds: float

    @property
    def result(self) -> Any:
        """The script's result. Raises AssertionError if the execution failed."""
        assert self.outcome.error is None, (self.outcome, self.stderr)
        return self.outcome.result

    @property
    def error(self) -> str | None:
        """The line that says why the execution failed."""
        return self.outcome.error

    @property
    def error_type(self) -> str | None:
        """The cause of the failure."""
        return self.outcome.error_type

    @property
    def stdout(self) -> str:
        """What the script wrote to stdout."""
        return self.run.stdout

    @property
    def stderr(self) -> str:
        """What the script wrote to stderr."""
        return self.run.stderr


@dataclass
class RunningPool(Generic[B]):
    """A backend that is up. By default, LLM requests of scripts are answered with `MODEL says PROMPT`."""

    backend: B
    patience: float = 30.0  # seconds after which a call that should take milliseconds fails

    async def run(
        self,
        code: str,
        *,
        run: RecordingRun | None = None,
        answer: Answer = _echo,
        timeout: int = 60,
        **job: Any,
    ) -> Ran:
        """Run a script until it ends. `job` are further fields of `Job`. Raises TimeoutError after `patience`."""
        run = run or RecordingRun(answer)
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(self.patience):
            outcome = await self.backend.execute(Job(id="test", code=code, timeout=timeout, **job), run)
        return Ran(outcome, run, asyncio.get_running_loop().time() - began)

    async def result(self, code: str, **job: Any) -> Any:
        """Run a script and return its result."""
        return (await self.run(code, **job)).result

    def start(self, code: str, answer: Answer = _echo, **job: Any) -> tuple[asyncio.Task[Ran], RecordingRun]:
        """Run a script in the background."""
        run = RecordingRun(answer)
        return asyncio.create_task(self.run(code, run=run, **job)), run

    async def settle(self) -> None:
        """Wait until the pool is complete again. Raises TimeoutError after `patience`."""
        pool = self.backend
        async with asyncio.timeout(self.patience):
            while pool._starting or pool._stopping or pool.pool().idle < pool._replicas:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.005)
