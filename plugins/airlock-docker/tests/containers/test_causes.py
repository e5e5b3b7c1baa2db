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


async def test_memory_of_a_child_counts_and_is_named(make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(memory=64 << 20)
    code = "import os\nif os.fork() == 0: x = bytearray(200 << 20)\nelse: x = bytearray(200 << 20)"
    ran = await up.run(code)
    assert (ran.outcome.error_type, "limits.memory is 64MiB" in (ran.outcome.error or "")) == ("memory_limit", True)


async def test_a_full_tmp_counts_as_memory_and_never_ends_the_pool(make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(memory=64 << 20, scratch=256 << 20, file_size=1 << 30)
    ran = await up.run(
        "open('/tmp/x', 'wb').write(b'x' * (20 << 20))\nwith open('/tmp/x', 'ab') as f:\n"
        "    while True: f.write(b'x' * (1 << 20))"
    )
    assert ran.outcome.error_type == "memory_limit"
    assert await up.result("set_result(1)") == 1


async def test_container_killed_from_outside_is_worker_lost(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running(WAITS)
    client.api.kill(name)
    ran = await running
    assert ran.outcome.error == "the container was killed from outside (exit code 137)"
    assert ran.outcome.error_type == "worker_lost"
    assert ran.session.stdout == "there\n"
    assert await up.result("set_result(1)") == 1


async def test_container_removed_from_outside_is_worker_lost(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running(WAITS)
    client.api.remove_container(name, force=True)
    ran = await running
    assert ran.outcome.error_type == "worker_lost"
    assert "from outside" in (ran.outcome.error or "") or "was removed" in (ran.outcome.error or "")


async def test_script_that_kills_itself_is_not_taken_for_an_accident(up: Up) -> None:
    ran = await up.run("import os; os.kill(os.getpid(), 9)")
    assert (ran.outcome.error_type, ran.outcome.error) == ("script_error", "the script was killed by SIGKILL")


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


async def test_cpu_time_that_the_clock_does_not_see_is_bounded(up: Up) -> None:
    code = "import threading\nthreading.Thread(target=llm.complete, args=('?',)).start()\nwhile True: pass"

    async def never(_: object) -> str:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    from airlock.testing import RecordingSession

    ran = await up.run(code, timeout=1, session=RecordingSession(never))
    assert ran.outcome.error_type == "cpu_limit"


async def test_file_size_is_named_when_it_kills_a_program(make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(file_size=1 << 20)
    code = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen('/tmp/x', 'wb').write(bytes(2 << 20))"
    ran = await up.run(code)
    assert "airlock: limits.file_size (1MiB) was reached" in ran.session.stderr


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("files", "held = [open('/dev/null') for _ in range(300)]"),
        ("scratch", "open('/tmp/x', 'wb').write(bytes(2 << 20))"),
        ("processes", "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        import time; time.sleep(60)"),
    ],
)
async def test_limit_behind_an_oserror_is_named_on_stderr(
    make_docker: Callable[..., Awaitable[Up]], key: str, code: str
) -> None:
    up = await make_docker(files=64, scratch=1 << 20, processes=8)
    ran = await up.run(code)
    assert f"airlock: limits.{key} (" in ran.session.stderr


async def test_a_cancelled_script_is_dead_within_a_quarter_of_a_second(client: docker.DockerClient, up: Up) -> None:
    running, name = await up.running("print('there')\nwhile True: pass")
    began = asyncio.get_running_loop().time()
    running.cancel()
    await asyncio.wait({running})
    assert asyncio.get_running_loop().time() - began < 0.25
    await up.settle()
    with pytest.raises(docker.errors.NotFound):
        client.api.inspect_container(name)
