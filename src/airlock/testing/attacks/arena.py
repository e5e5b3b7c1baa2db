"""What the attacks use: shared pools, and scripts that run one by one or beside each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import pytest

from airlock.backends import Limits, PooledBackend, Project
from airlock.testing.contract import Contract
from airlock.testing.running import Ran, RunningPool

from .canaries import Pool, harm_of

ATTACK_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "counts_cpu_time": "CPU time during pauses counts all processes of an execution together",
        "counts_inodes": "limits.scratch also limits the number of files",
        "counts_locks": "an execution that holds thousands of locks is ended, whoever of its processes took them",
        "counts_processes": "a script that reaches limits.processes gets an OSError, however small the limit is",
        "counts_refusals": "a limit is named even if the script catches the OSError that it causes",
        "filters_calls": "Airlock's own filter refuses system calls that no script needs",
        "guards_supervisor": "a script can neither kill nor inspect pid 1 of its sandbox",
        "loopback": "scripts have internet sockets, and a loopback of their own for them",
        "seen_by_host": "the host sees the processes of a sandbox among its own",
        "together": "limits.memory holds for all processes of an execution together, with their sockets and /tmp",
    }
)

IS_SOAK: Final = bool(os.environ.get("AIRLOCK_TEST_SOAK"))

# `attempt` tries something in the sandbox: it returns the name of the error, or the value.
TRY: Final = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    value = libc.syscall(*arguments)
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return value
def attempt(what):
    try:
        return repr(what())
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
"""


class Pools:
    """Pools of one backend, by their limits. Each is started once, for all tests of a class."""

    def __init__(self, make_backend: Callable[[Project], PooledBackend[Any]], patience: float) -> None:
        self._make_backend = make_backend
        self._patience = patience
        self._made: dict[tuple[tuple[str, Any], ...], Pool] = {}

    async def get(self, **limits: Any) -> Pool:
        """Return a pool of two workers with these limits, once both are ready."""
        key = tuple(sorted(limits.items()))
        if key not in self._made:
            self._made[key] = RunningPool(
                self._make_backend(Project(name="attacks", limits=Limits(**limits))), self._patience
            )
        await self._made[key].backend.scale(2)  # changes nothing if there are two, and retries a failed start
        pool = self._made[key]
        await pool.settle()
        return pool

    async def close(self) -> None:
        """Close all pools."""
        await asyncio.gather(*(pool.backend.close() for pool in self._made.values()))


class Arena(Contract):
    """What an author must write, `make_backend`, and what an author may set."""

    known_capabilities = ATTACK_CAPABILITIES
    capabilities: ClassVar[frozenset[str]] = frozenset()

    patience: ClassVar[float] = 120.0
    """Seconds within which every script of the suite must end."""

    soon: ClassVar[float] = 2.5
    """Seconds for what should take milliseconds: ten times the promise, for busy machines."""

    def make_backend(self, project: Project) -> PooledBackend[Any]:
        """Return a new backend for this project, as core makes it."""
        raise NotImplementedError(f"write {type(self).__name__}.make_backend(self, project)")

    def make(self, directory: Path) -> PooledBackend[Any]:
        """Return a backend for inspection."""
        del directory
        return self.make_backend(Project(name="attacks"))

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        """Run all tests of a class in one event loop, as their pools are shared."""
        return "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    async def pools(cls) -> AsyncIterator[Pools]:
        """Return the pools of this class, once it is certain that attacks on them do no harm outside."""
        pools = Pools(cls().make_backend, cls.patience)
        try:
            if not isinstance(made := cls().make(Path()), PooledBackend):
                pytest.fail(f"attacks need a PooledBackend, and {type(made).__name__} is not one", pytrace=False)
            if (harm := await harm_of(await pools.get())) is not None:
                told = f"attacks did not run, as they would harm this machine: a script of {type(made).__name__} {harm}"
                pytest.fail(told, pytrace=False)
            yield pools
        finally:
            await pools.close()

    @pytest.fixture
    async def small(self, pools: Pools) -> Pool:
        """Return a pool with small limits, each of which a script can reach before the others."""
        processes = {"processes": 20} if "counts_processes" in self.capabilities else {}
        return await pools.get(files=64, file_size="2MiB", scratch="4MiB", **processes)

    @pytest.fixture
    async def pool(self, pools: Pools) -> Pool:
        """Return a pool with default limits."""
        return await pools.get()

    async def attempt(self, pool: Pool, expression: str) -> Any:
        """Evaluate an expression in the sandbox: returns the name of its OSError, or the `repr` of its value."""
        return (await self.attempts(pool, expression))[expression]

    async def attempts(self, pool: Pool, *expressions: str) -> dict[str, str]:
        """Evaluate expressions in the sandbox, one after the other in one script."""
        tried = ", ".join(f"{expression!r}: attempt(lambda: {expression})" for expression in expressions)
        answers: dict[str, str] = await pool.result(f"{TRY}\nset_result({{{tried}}})")
        return answers

    async def run_all(self, pool: Pool, scripts: Iterable[str], at_once: int = 4) -> dict[str, Ran]:
        """Run scripts beside each other; returns the outcome of each."""
        slots = asyncio.Semaphore(at_once)

        async def run(code: str) -> Ran:
            async with slots:
                return await pool.run(code)

        codes = list(scripts)
        return dict(zip(codes, await asyncio.gather(*map(run, codes)), strict=True))

    @asynccontextmanager
    async def beside(self, pool: Pool, code: str) -> AsyncIterator[Any]:
        """Run a script during the block, which starts when the script has printed something; yields its task."""
        task, run = pool.start(code)
        printed = asyncio.create_task(run.until(lambda run: run.stdout))
        try:
            await asyncio.wait({task, printed}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED)
            assert printed.done(), task
            yield task
        finally:
            printed.cancel()
            task.cancel()
            await asyncio.wait({task, printed})
