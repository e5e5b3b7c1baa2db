"""Scripts that try to use more than they may."""

from __future__ import annotations

import pytest

from airlock.testing.backend.capabilities import needs

from .arena import Arena, Pools
from .canaries import Pool
from .frames import FORGE

MEMORY_BOMBS = {
    "objects": "x = [bytearray(1 << 20) for _ in range(400)]",
    "mmap": "import mmap\nm = mmap.mmap(-1, 400 << 20)\nfor n in range(0, 400 << 20, 4096): m[n] = 1",
    "one block": "x = bytearray(400 << 20)",
}
OTHER_BOMBS = {
    "processes together": """
import os, time
for _ in range(8):
    if (child := os.fork()) == 0:
        break
x = bytearray(20 << 20)
if child:
    os.wait()  # the kernel may kill any of them
    x = bytearray(100 << 20)
time.sleep(60)
""",
    "tmpfs": """
with open("/tmp/x", "wb") as file:
    while True:
        file.write(b"x" * (1 << 20))
""",
    "socket buffers": """
import socket
kept = []
while True:
    pair = socket.socketpair()
    kept.append(pair)
    pair[0].setblocking(False)
    try:
        while True:
            pair[0].send(b"x" * 65536)
    except BlockingIOError:
        pass
""",
}
ENDED_AS = "the script used more than its memory (limits.memory is 64MiB)"


@pytest.mark.anyio
class LimitAttacks(Arena):
    """Limits hold against every attempt, are named, and are not blamed on others."""

    @pytest.mark.parametrize("bomb", MEMORY_BOMBS.values(), ids=MEMORY_BOMBS)
    async def test_too_much_memory_is_a_memory_limit(self, pools: Pools, bomb: str) -> None:
        pool = await pools.get(memory="64MiB")
        ran = await pool.run(bomb)
        assert ran.error_type == "memory_limit"
        assert "limits.memory is 64MiB" in (ran.error or "")
        assert await pool.result("set_result(1)") == 1

    @needs("together")
    @pytest.mark.parametrize("bomb", OTHER_BOMBS.values(), ids=OTHER_BOMBS)
    async def test_memory_that_is_not_the_scripts_own_counts_too(self, pools: Pools, bomb: str) -> None:
        pool = await pools.get(memory="64MiB", scratch="1GiB", file_size="1GiB", files=2_000)
        ran = await pool.run(bomb)
        assert (ran.error_type, ran.error) == ("memory_limit", ENDED_AS)

    @needs("together")
    async def test_one_executions_memory_limit_is_not_blamed_on_the_next(self, pools: Pools) -> None:
        pool = await pools.get(memory="64MiB")
        await pool.run("x = bytearray(400 << 20)")
        for _ in range(3):
            assert (await pool.run("1 / 0")).error_type == "script_error"

    @needs("counts_processes")
    async def test_processes_over_the_limit_get_an_oserror(self, small: Pool) -> None:
        code = """
import os, time
n = 1
try:
    while True:
        if os.fork() == 0: time.sleep(60)
        n += 1
except OSError: set_result(n)
"""
        assert await small.result(code) == 20

    @needs("counts_processes")
    async def test_neighbours_processes_do_not_count(self, small: Pool) -> None:
        fill = "import os, time\nfor _ in range(19):\n    if os.fork() == 0: time.sleep(60)\nprint(1)\ntime.sleep(60)"
        async with self.beside(small, fill):
            assert (await small.run("import subprocess\nsubprocess.run(['true'])")).error is None

    async def test_descriptors_over_the_limit_get_an_oserror(self, small: Pool) -> None:
        code = """
import os
kept = []
try:
    while True: kept.append(os.dup(1))
except OSError as error: set_result([len(kept), error.errno])
"""
        assert await small.result(code) == [60, 24]  # in addition to 0 to 2, and the channel

    @needs("counts_inodes")
    async def test_inodes_are_bounded(self, small: Pool) -> None:
        inodes = "[open(f'/tmp/{n}', 'w').close() for n in range(100_000)]"
        assert await self.attempt(small, inodes) == "ENOSPC"

    async def test_shared_memory_is_bounded(self, small: Pool) -> None:
        shared = "[open(f'/dev/shm/{n}', 'wb').write(bytes(1 << 20)) for n in range(4)]"
        assert await self.attempt(small, shared) == "ENOSPC"

    async def test_cpu_time_beyond_the_timeout_is_a_cpu_limit(self, pools: Pools) -> None:
        pool = await pools.get(cpus=1, result="1KiB")
        ran = await pool.run("while True: pass", timeout=1)  # without core, no clock stops it, as in a pause
        assert ran.error_type == "cpu_limit"
        assert "limits.timeout" in (ran.error or "")

    async def test_a_result_over_the_limit_is_a_result_limit(self, pools: Pools) -> None:
        pool = await pools.get(cpus=1, result="1KiB")
        ran = await pool.run(f"{FORGE}\nsend(frame('R', 'x' * 2000))")
        assert ran.error_type == "result_limit"
        assert "limits.result is 1KiB" in (ran.error or "")
