"""The part of `BackendContract` for backends that use `preload`: no execution knows the random numbers of another."""

from __future__ import annotations

import asyncio

import pytest

from airlock.backends import Project
from airlock.errors import BackendUnavailable

from .base import BackendBench
from .capabilities import needs

SOURCES = ("multiprocessing.process", "random", "secrets", "ssl", "tempfile", "uuid")
DRAW = """
import multiprocessing, os, random, secrets, ssl, tempfile, uuid
set_result({
    "multiprocessing": bytes(multiprocessing.current_process().authkey).hex(),
    "os": os.urandom(8).hex(),
    "random": random.getrandbits(52),
    "secrets": secrets.token_hex(8),
    "ssl": ssl.RAND_bytes(8).hex(),
    "tempfile": next(tempfile._get_candidate_names()),
    "uuid, version 4": str(uuid.uuid4()),
    "uuid, version 1": str(uuid.uuid1()),
})
"""


@pytest.mark.anyio
class Preload(BackendBench):
    """Each execution has its own random numbers, whatever was imported ahead of need."""

    @needs("runs_code", "uses.preload")
    async def test_random_numbers_differ_in_two_executions(self) -> None:
        async with self.up(2, preload=SOURCES) as backend:
            first, second = await asyncio.gather(*(self.result_of(backend, DRAW) for _ in range(2)))
        assert [source for source in first if first[source] == second[source]] == []

    @needs("runs_code", "uses.preload_reseed")
    async def test_functions_of_preload_reseed_are_called(self) -> None:
        async with self.up(preload_reseed=("tracemalloc:start",)) as backend:
            assert await self.result_of(backend, "import tracemalloc; set_result(tracemalloc.is_tracing())") is True

    @needs("runs_code", "uses.preload_reseed")
    @pytest.mark.parametrize("function", ["random:no_such", "operator:index"])  # the second lacks its argument
    async def test_function_of_preload_reseed_that_fails_is_named(self, function: str) -> None:
        backend = self.make_backend(Project(name="contract", preload_reseed=(function,)))
        try:
            with pytest.raises(BackendUnavailable, match=f"preload_reseed: {function}"):
                await backend.scale(1)
        finally:
            await backend.scale(0)
            await backend.close()
