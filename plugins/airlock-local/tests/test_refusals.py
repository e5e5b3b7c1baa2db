"""A script that keeps asking for more processes than it may have is slowed down, and told so."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from airlock.testing import missing, never_answers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.geteuid() != 0, reason="as ordinary user there are other uids, and other counts"),
]


@asynccontextmanager
async def slowed_down(local: Any, code: str) -> AsyncIterator[tuple[Any, Any]]:
    """Have a script run until it is told that it is slowed down; yields its group and run."""
    groups = local.backend._groups
    if groups is None or not {"pids", "cpu"} <= groups.controllers:
        missing("cgroup", local.backend.isolation)
    group = local.backend._idle[0]._group
    task, run = local.start(code, never_answers)
    try:
        async with asyncio.timeout(60):
            await run.until(lambda run: "slowed down" in run.stderr)
        yield group, run
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_fork_bomb_is_slowed_down_and_told_so(local: Any) -> None:
    """Each refused fork costs the kernel page tables and locks: see neighbours.py of the benchmarks for the effect."""
    bomb = """
import os, time
print("begins", flush=True)
while True:
    try: os.fork()
    except OSError: pass
"""
    async with slowed_down(local, bomb) as (group, run):
        before = group.counters.cpu_time()
        await asyncio.sleep(1)
        used = group.counters.cpu_time() - before
    assert used < 0.5  # 0.1, and the machine's two or more if nothing holds it
    assert run.stderr == (
        "airlock: limits.processes (64) was reached\n"
        "airlock: the script is slowed down, as it keeps asking for more processes\n"
    )


async def test_who_asks_slowly_but_goes_on_is_slowed_down_long_before_a_thousand_refusals(local: Any) -> None:
    """So is a fork bomb in a project that has imported much, each of whose forks takes milliseconds."""
    code = """
import os, time
print("begins", flush=True)
while True:
    try: os.fork() or time.sleep(1000)
    except OSError: time.sleep(0.003)
"""
    async with slowed_down(local, code) as (group, _):
        refused = group.counters.refused_forks()
    assert refused < 900


async def test_a_bomb_behind_a_pause_is_slowed_down_too(local: Any) -> None:
    bomb = """
import os
if os.fork() == 0:
    while True:
        try: os.fork()
        except OSError: pass
llm.complete("?")
"""
    async with slowed_down(local, bomb) as (_, run):
        assert len(run.requests) == 1


async def test_a_paused_script_is_looked_at_ever_more_rarely(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if local.backend._groups is None:
        missing("cgroup", local.backend.isolation)
    looks: list[float] = []
    counters = local.backend._idle[0]._group.counters
    real = counters.refused_forks

    def refused_forks() -> int:
        looks.append(time.monotonic())
        return int(real())

    monkeypatch.setattr(counters, "refused_forks", refused_forks)
    task, run = local.start("import time\ntime.sleep(2)\nllm.complete('?')", never_answers)
    async with asyncio.timeout(30):
        await run.until(lambda run: run.requests)
    running = len(looks)
    await asyncio.sleep(4)  # in twice the time: looks after a moment, another second, and two more
    assert 0 < len(looks) - running < 2 * running / 4
    task.cancel()
    await asyncio.wait({task})


async def test_a_few_refused_processes_slow_nothing_down(make_local: Any) -> None:
    local = await make_local(processes=8)
    if local.backend._groups is None:
        missing("cgroup", local.backend.isolation)
    ran = await local.run("""
import threading, time
def wait(): time.sleep(0.5)
refused = 0
for _ in range(200):
    try: threading.Thread(target=wait).start()
    except RuntimeError: refused += 1
time.sleep(0.3)
set_result(refused)
""")
    assert ran.result > 100
    assert ran.stderr == "airlock: limits.processes (8) was reached\n"


async def test_refused_forks_of_an_execution_are_not_reported_by_the_next_one_in_its_cgroup(local: Any) -> None:
    """What is refused between END and the death of the rest is counted after the count was read."""
    if local.backend._groups is None:
        missing("cgroup", local.backend.isolation)
    bomb = """
import os, time
if os.fork() == 0:
    while True:
        try:
            if os.fork() == 0: time.sleep(100)
        except OSError: pass
time.sleep(0.4)
"""
    innocent = []
    for _ in range(8):
        await local.run(bomb)
        await local.settle()
        for _ in range(3):
            innocent.append((await local.run("print(1)")).stderr)
            await local.settle()
    assert set(innocent) == {""}
