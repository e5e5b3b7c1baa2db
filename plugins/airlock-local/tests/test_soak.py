"""Many executions of every kind, one after the other and beside each other: nothing adds up.

`make test` takes a few hundred, `make soak` takes 5,000.
"""

import asyncio
import contextlib
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airlock.testing.attacks import IS_SOAK, Mixture
from airlock_local import hierarchies

pytestmark = [pytest.mark.anyio, pytest.mark.long]

EXECUTIONS = 5_000 if IS_SOAK else 250
AT_ONCE = 4
GROWTH = 24 << 20  # bytes that a test process may grow by whatever the count: caches, not executions


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


async def test_mixed_executions_leave_nothing_over(make_local: Any, sandboxed: Any) -> None:
    before = descriptors(), sandboxed()
    local = await make_local(replicas=AT_ONCE, memory="64MiB")
    places = [place for place in hierarchies.places(local.backend._directory.name) if place.is_dir()]
    folder = Path(tempfile.gettempdir(), local.backend._directory.name)
    assert folder.is_dir()
    mixture = Mixture(local, AT_ONCE)
    await mixture.run(EXECUTIONS // 5, seed=1)
    warm = descriptors(), sandboxed(), resident(), sum(1 for place in places for _ in place.iterdir())
    await mixture.run(EXECUTIONS - EXECUTIONS // 5, seed=2)
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
