"""What the attacks work with: pools that are shared, scripts beside each other, and what the host sees of them."""

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
        "counts_cpu_time": "CPU time of pauses is that of all of an execution's processes together",
        "counts_inodes": "limits.scratch bounds the number of files, too",
        "counts_processes": "a script meets limits.processes, however small it is, as an OSError",
        "counts_refusals": "a limit is named also where the script itself catches the OSError behind it",
        "filters_calls": "system calls that no script needs are refused by Airlock's own filter",
        "guards_supervisor": "pid 1 of the sandbox can be neither killed nor looked at from inside",
        "seen_by_host": "the host sees the processes of a sandbox among its own",
        "together": "limits.memory binds all processes of an execution together, with their sockets and /tmp",
    }
)

IS_SOAK: Final = bool(os.environ.get("AIRLOCK_TEST_SOAK"))

# Something is tried inside: the name of the error, or what was got.
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
    """Pools of one backend by their limits. Each is brought up once, and serves all tests of a class."""

    def __init__(self, make_backend: Callable[[Project], PooledBackend[Any]], patience: float) -> None:
        self._make_backend = make_backend
        self._patience = patience
        self._made: dict[tuple[tuple[str, Any], ...], Pool] = {}

    async def get(self, **limits: Any) -> Pool:
        """Return a pool of two workers with these limits, and wait until both are there."""
        key = tuple(sorted(limits.items()))
        if key not in self._made:
            self._made[key] = RunningPool(
                self._make_backend(Project(name="attacks", limits=Limits(**limits))), self._patience
            )
        await self._made[key].backend.scale(2)  # which does nothing where two are there, and tries again where none is
        pool = self._made[key]
        await pool.settle()
        return pool

    async def close(self) -> None:
        """Close them all."""
        await asyncio.gather(*(pool.backend.close() for pool in self._made.values()))


class Arena(Contract):
    """What an author writes, `make_backend`, and what an author may set."""

    known_capabilities = ATTACK_CAPABILITIES
    capabilities: ClassVar[frozenset[str]] = frozenset()

    patience: ClassVar[float] = 120.0
    """Seconds within which any script of the suite has to end."""

    soon: ClassVar[float] = 2.5
    """Seconds for what should take milliseconds: ten times what is promised, for busy machines."""

    def make_backend(self, project: Project) -> PooledBackend[Any]:
        """Return a new backend for this project, as core makes it."""
        raise NotImplementedError(f"write {type(self).__name__}.make_backend(self, project)")

    def make(self, directory: Path) -> PooledBackend[Any]:
        """Return a backend, just to look at it."""
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
        """Return the pools of this class, once it is sure that attacks on them harm nobody else."""
        pools = Pools(cls().make_backend, cls.patience)
        try:
            if not isinstance(made := cls().make(Path()), PooledBackend):
                pytest.fail(f"attacks are for a PooledBackend, and {type(made).__name__} is none", pytrace=False)
            if (harm := await harm_of(await pools.get())) is not None:
                told = f"no attack was made: a script of {type(made).__name__} {harm}, so attacks would harm it, too"
                pytest.fail(told, pytrace=False)
            yield pools
        finally:
            await pools.close()

    @pytest.fixture
    async def small(self, pools: Pools) -> Pool:
        """Return a pool with limits of which a script can reach each, whatever it reaches first."""
        processes = {"processes": 20} if "counts_processes" in self.capabilities else {}
        return await pools.get(files=64, file_size="2MiB", scratch="4MiB", **processes)

    @pytest.fixture
    async def pool(self, pools: Pools) -> Pool:
        """Return a pool with default limits."""
        return await pools.get()

    async def attempt(self, pool: Pool, expression: str) -> Any:
        """Evaluate an expression inside: the name of its OSError, or the `repr` of its value."""
        return (await self.attempts(pool, expression))[expression]

    async def attempts(self, pool: Pool, *expressions: str) -> dict[str, str]:
        """Evaluate expressions inside, one after the other in one script."""
        tried = ", ".join(f"{expression!r}: attempt(lambda: {expression})" for expression in expressions)
        answers: dict[str, str] = await pool.result(f"{TRY}\nset_result({{{tried}}})")
        return answers

    async def run_all(self, pool: Pool, scripts: Iterable[str], at_once: int = 4) -> dict[str, Ran]:
        """Run scripts beside each other; returns how each went."""
        slots = asyncio.Semaphore(at_once)

        async def run(code: str) -> Ran:
            async with slots:
                return await pool.run(code)

        codes = list(scripts)
        return dict(zip(codes, await asyncio.gather(*map(run, codes)), strict=True))

    @asynccontextmanager
    async def beside(self, pool: Pool, code: str) -> AsyncIterator[Any]:
        """Have a script run meanwhile, from when it printed something; yields its task."""
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
