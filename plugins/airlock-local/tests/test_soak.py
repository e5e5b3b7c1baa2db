"""Many executions of every kind, one after the other and beside each other: nothing adds up.

`make test` takes a few hundred, `make soak` takes 5,000.
"""

import asyncio
import contextlib
import os
import random
import resource
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airlock_local import hierarchies

pytestmark = pytest.mark.anyio

EXECUTIONS = 5_000 if os.environ.get("AIRLOCK_TEST_SOAK") else 250
AT_ONCE = 4
GROWTH = 24 << 20  # bytes that a test process may grow by whatever the count: caches, not executions

ENDLESS = "print(1)\nwhile True: pass"
KINDS = {
    "completed": "print('x' * 1000); set_result([1, 2])",
    "script_error": "1 / 0",
    "memory_limit": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "protocol": "import os; os.write(3, b'\\xff' * 100)",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "forked": "import os\nfor _ in range(5):\n    if os.fork() == 0:\n        import time; time.sleep(60)",
    "cancelled": ENDLESS,
    "asked": "set_result(llm.complete('?'))",
}


def descriptors() -> int:
    """Those of free cgroups are counted as cgroups: how many the pool keeps depends on how many were needed at once."""
    folder = "/proc/self/fd"
    targets = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            targets.append(os.readlink(f"{folder}/{name}"))
    return sum("/sys/fs/cgroup/" not in target for target in targets)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def one(local: Any, kind: str) -> str | None:
    if kind != "cancelled":
        ran = await local.run(KINDS[kind])
        error_type: str | None = ran.error_type
        return error_type
    task, session = local.start(KINDS[kind])
    await session.until(lambda session: session.stdout)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


EXPECTED = {
    "completed": None,
    "script_error": "script_error",
    "memory_limit": "memory_limit",
    "protocol": "protocol",
    "killed": "script_error",
    "forked": None,
    "cancelled": None,
    "asked": None,
}


async def many(local: Any, count: int, seed: int) -> None:
    chosen = random.Random(seed)
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            kind = chosen.choice(list(KINDS))
            assert await one(local, kind) == EXPECTED[kind], kind

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    await local.settle()


async def test_mixed_executions_leave_nothing_over(make_local: Any, sandboxed: Any) -> None:
    before = descriptors(), sandboxed()
    local = await make_local(replicas=AT_ONCE, memory="64MiB")
    places = [place for place in hierarchies.places(local.backend._directory.name) if place.is_dir()]
    folder = Path(tempfile.gettempdir(), local.backend._directory.name)
    assert folder.is_dir()
    await many(local, EXECUTIONS // 5, seed=1)
    warm = descriptors(), sandboxed(), resident(), sum(1 for place in places for _ in place.iterdir())
    await many(local, EXECUTIONS - EXECUTIONS // 5, seed=2)
    assert descriptors() <= warm[0] + 4
    assert sandboxed() <= warm[1] + 2
    assert resident() < warm[2] + GROWTH
    groups_now = sum(1 for place in places for _ in place.iterdir())
    assert groups_now <= warm[3] + 8 * max(1, len(places))
    await local.backend.close()
    assert (descriptors(), sandboxed()) == before
    assert not [place for place in places if place.exists()]
    assert not folder.exists()


async def test_zygotes_that_are_killed_again_and_again_leave_nothing_over(make_local: Any, sandboxed: Any) -> None:
    before = descriptors(), sandboxed()
    local = await make_local(replicas=2)
    for _ in range(3):
        await asyncio.sleep(1.1)  # one that dies sooner than after a second is not replaced at once
        local.backend._box.kill()
        await asyncio.sleep(0.1)  # a standby that dies in the moment it is taken is lost, as it should be
        assert await local.result("set_result(1)") == 1
    await local.backend.close()
    assert (descriptors(), sandboxed()) == before
