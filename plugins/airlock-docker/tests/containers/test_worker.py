"""What ends an execution is told as what it was, and the pool is whole again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import docker
import pytest

if TYPE_CHECKING:
    from containers.conftest import Up

pytestmark = pytest.mark.anyio

WAITS = "import time\nprint('there')\ntime.sleep(600)"


async def test_container_killed_from_outside_is_worker_lost(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running(WAITS)
    client.api.kill(name)
    ran = await running
    assert ran.outcome.error == (
        "the container was killed from outside, or for lack of memory that the daemon did not see (exit code 137)"
    )
    assert ran.outcome.error_type == "worker_lost"
    assert ran.run.stdout == "there\n"
    assert await up.result("set_result(1)") == 1


async def test_container_removed_from_outside_is_worker_lost(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running(WAITS)
    client.api.remove_container(name, force=True, v=True)
    ran = await running
    assert ran.outcome.error_type == "worker_lost"
    assert "from outside" in (ran.outcome.error or "") or "was removed" in (ran.outcome.error or "")


async def test_idle_containers_that_are_killed_are_replaced(
    client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(replicas=3)
    for worker in list(up.backend._idle):
        client.api.kill(worker.name)  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while up.backend.pool().idle:
            await asyncio.sleep(0.01)
    assert await up.result("set_result(1)") == 1
    await up.settle()
    assert up.backend.pool().idle == 3


@pytest.mark.timed
async def test_a_cancelled_script_is_dead_within_a_quarter_of_a_second(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running("print('there')\nwhile True: pass")
    now = asyncio.get_running_loop().time
    began = now()
    await asyncio.to_thread(client.version)
    asked = now()
    running.cancel()
    await asyncio.wait({running})
    assert now() - asked < 0.25 + 5 * (asked - began)  # more where the daemon is slow to say anything at all
    await up.settle()
    with pytest.raises(docker.errors.NotFound):
        client.api.inspect_container(name)
