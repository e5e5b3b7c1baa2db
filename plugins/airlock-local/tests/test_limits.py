"""What a script may use, and what says so."""

import asyncio
import os
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

needs_cgroup = pytest.mark.skipif(os.geteuid() != 0, reason="holds for all processes together only with a cgroup")


@pytest.mark.parametrize(
    "bomb",
    [
        "x = [bytearray(1 << 20) for _ in range(400)]",
        "import mmap\nm = mmap.mmap(-1, 400 << 20)\nfor n in range(0, 400 << 20, 4096): m[n] = 1",
        "x = bytearray(400 << 20)",
    ],
    ids=["objects", "mmap", "one block"],
)
async def test_too_much_memory_is_a_memory_limit(make_local: Any, bomb: str) -> None:
    local = await make_local(memory="64MiB")
    ran = await local.run(bomb)
    assert ran.error_type == "memory_limit"
    assert "limits.memory is 64MiB" in ran.error
    assert await local.result("set_result(1)") == 1


PROCESSES_TOGETHER = """
import os, time
for _ in range(8):
    if (child := os.fork()) == 0:
        break
x = bytearray(20 << 20)
if child: os.waitstatus_to_exitcode(os.wait()[1]) and os._exit(1)  # whom the kernel kills is its choice
time.sleep(60)
"""
TMPFS = """
with open("/tmp/x", "wb") as file:
    while True:
        file.write(b"x" * (1 << 20))
"""
SOCKET_BUFFERS = """
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
"""


@needs_cgroup
@pytest.mark.parametrize(
    "bomb",
    [PROCESSES_TOGETHER, TMPFS, SOCKET_BUFFERS],
    ids=["processes together", "tmpfs", "socket buffers"],
)
async def test_memory_that_is_not_the_scripts_own_counts_too(make_local: Any, bomb: str) -> None:
    local = await make_local(memory="48MiB", scratch="1GiB", file_size="1GiB", files=60_000)
    ran = await local.run(bomb)
    assert (ran.error_type, ran.error) == (
        "memory_limit",
        "the script used more than its memory (limits.memory is 48MiB)",
    )


@needs_cgroup
async def test_one_executions_memory_limit_is_not_blamed_on_the_next(make_local: Any) -> None:
    local = await make_local(memory="64MiB")
    await local.run("x = bytearray(400 << 20)")
    for _ in range(3):
        assert (await local.run("1 / 0")).error_type == "script_error"


@needs_cgroup
async def test_a_script_that_survives_its_childs_death_by_memory_completes(make_local: Any) -> None:
    local = await make_local(memory="64MiB")
    code = """
import subprocess, sys
done = subprocess.run([sys.executable, '-c', 'x = bytearray(400 << 20)'])
set_result(done.returncode)
"""
    assert await local.result(code) == -9


async def test_processes_over_the_limit_get_an_oserror(make_local: Any) -> None:
    local = await make_local(processes=5)
    code = """
import os, time
n = 1
try:
    while True:
        if os.fork() == 0: time.sleep(60)
        n += 1
except OSError: set_result(n)
"""
    assert await local.result(code) == 5


async def test_neighbours_processes_do_not_count(make_local: Any) -> None:
    local = await make_local(replicas=2, processes=5)
    code = "import os, time\nfor _ in range(4):\n    if os.fork() == 0: time.sleep(60)\nprint('full')\ntime.sleep(60)"
    task, session = local.start(code)
    async with asyncio.timeout(10):
        await session.until(lambda session: session.stdout)
    assert (await local.run("import subprocess\nsubprocess.run(['true'])")).error is None
    task.cancel()


async def test_descriptors_over_the_limit_get_an_oserror(make_local: Any) -> None:
    local = await make_local(files=32)
    code = """
import os
kept = []
try:
    while True: kept.append(os.dup(1))
except OSError as e: set_result([len(kept), e.errno])
"""
    assert await local.result(code) == [28, 24]  # 0 to 2, and the channel


async def test_a_file_over_the_limit_gets_an_oserror(make_local: Any) -> None:
    local = await make_local(file_size="1MiB")
    code = "try:\n    open('/tmp/x', 'wb').write(b'x' * (2 << 20))\nexcept OSError as e: set_result(e.errno)"
    assert await local.result(code) == 27


async def test_scratch_is_as_large_as_it_says(make_local: Any) -> None:
    local = await make_local(scratch="2MiB")
    code = "try:\n    open('/tmp/x', 'wb').write(b'x' * (3 << 20))\nexcept OSError as e: set_result(e.errno)"
    assert await local.result(code) == 28


async def test_inodes_are_bounded(make_local: Any) -> None:
    local = await make_local(scratch="2MiB")
    code = "try:\n    for n in range(100_000): open(f'/tmp/{n}', 'w').close()\nexcept OSError as e: set_result(e.errno)"
    assert await local.result(code) == 28


async def test_shared_memory_is_bounded(make_local: Any) -> None:
    local = await make_local(scratch="2MiB")
    code = "try:\n    open('/dev/shm/x', 'wb').write(b'x' * (2 << 20))\nexcept OSError as e: set_result(e.errno)"
    assert await local.result(code) == 28


@needs_cgroup
async def test_cpus_bound_the_share_of_all_threads_together(make_local: Any) -> None:
    local = await make_local(cpus=0.25)
    code = """
import time
begun = time.monotonic()
while time.monotonic() - begun < 1: pass
set_result(time.process_time())
"""
    assert "limits.cpus is not held" not in local.backend.isolation
    assert await local.result(code) < 0.5


async def test_cpu_time_beyond_the_timeout_behind_a_pause_is_a_cpu_limit(make_local: Any) -> None:
    local = await make_local(cpus=1)
    ran = await local.run("import time\nwhile True: pass", timeout=1)  # nobody keeps the clock here, as in a pause
    assert ran.error_type == "cpu_limit"
    assert "limits.timeout" in ran.error


async def test_a_result_over_the_limit_is_a_result_limit(make_local: Any) -> None:
    local = await make_local(result="1KiB")
    ran = await local.run("set_result('x' * 2000)")
    assert ran.error_type == "result_limit"
    assert "limits.result is 1KiB" in ran.error
