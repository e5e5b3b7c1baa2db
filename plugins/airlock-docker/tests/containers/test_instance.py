"""Nothing is left behind: by an end, a kill of the server, or beside another Airlock."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from airlock import Project
from airlock.testing import served
from airlock_docker.backend import DockerBackend, DockerSettings
from airlock_docker.engine import Engine
from airlock_docker.worker import DockerWorker

if TYPE_CHECKING:
    from containers.conftest import Up

pytestmark = pytest.mark.anyio

HANG = 60.0  # seconds after which a test that should take some has failed

SERVER = """
import asyncio, sys
from airlock import Project
from airlock_docker.backend import DockerBackend, DockerSettings

async def main():
    backend = DockerBackend(Project(name="other"), DockerSettings(image=sys.argv[1]))
    await backend.scale(2)
    print(backend._instance.name, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def containers(client: docker.DockerClient, instance: str) -> list[str]:
    found = client.api.containers(all=True, filters={"label": f"airlock.instance={instance}"})
    return [container["Id"] for container in found]


def instance(up: Up) -> str:
    assert up.backend._instance is not None
    return up.backend._instance.name


async def test_close_removes_containers_and_lock(
    client: docker.DockerClient, own_state: Path, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(replicas=2)
    name = instance(up)
    assert len(containers(client, name)) == 2
    await up.backend.close()
    assert containers(client, name) == []
    assert list(own_state.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "step"), [(Engine, "launch"), (DockerWorker, "start"), (DockerWorker, "_end"), (Engine, "remove")]
)
async def test_a_start_that_is_cancelled_at_any_step_leaves_no_container(
    client: docker.DockerClient,
    base_image: str,
    own_state: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    step: str,
) -> None:
    """As at a shutdown while the project comes up: each step is one of the container that is tested first."""
    reached = asyncio.Event()
    whole = getattr(owner, step)

    async def noticed(*arguments: Any) -> Any:
        reached.set()
        return await whole(*arguments)

    monkeypatch.setattr(owner, step, noticed)
    backend = DockerBackend(Project(name="test"), DockerSettings(image=base_image))
    coming_up = asyncio.create_task(backend.scale(1))
    async with asyncio.timeout(HANG):
        await reached.wait()
        for _ in range(2):  # also while it cleans up
            await asyncio.sleep(0)
            coming_up.cancel()
        await asyncio.wait({coming_up})
        assert coming_up.cancelled()
        assert backend._instance is not None
        name = backend._instance.name
        await backend.scale(0)
        await backend.close()
    assert containers(client, name) == []
    assert list(own_state.iterdir()) == []


async def test_what_a_killed_server_left_is_swept_and_what_a_living_one_has_is_not(
    client: docker.DockerClient, base_image: str, own_state: Path, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    servers = [
        subprocess.Popen([sys.executable, "-c", SERVER, base_image], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        names = [server.stdout.readline().strip() for server in servers if server.stdout]
        assert [len(containers(client, name)) for name in names] == [2, 2]
        servers[0].send_signal(signal.SIGKILL)
        servers[0].wait()
        await make_docker()
        assert [len(containers(client, name)) for name in names] == [0, 2]
    finally:
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
    await make_docker()
    assert containers(client, names[1]) == []
    assert len(list(own_state.iterdir())) == 2  # of the two that live


def test_a_server_that_is_told_to_end_lets_scripts_finish_and_removes_its_containers(
    client: docker.DockerClient, base_image: str, own_state: Path, tmp_path: Path
) -> None:
    config = f"projects: {{drained: {{replicas: 2, backend: {{type: docker, image: {base_image}}}}}}}\n"
    (tmp_path / "airlock.yaml").write_text(config)
    with served(tmp_path) as (server, http):
        body = {"project": "drained", "code": "import time\nprint(1)\ntime.sleep(2)\nset_result('done')"}
        path = f"/executions/{http.post('/execute', json=body).json()['execution_id']}"
        give_up = time.monotonic() + HANG
        while not http.get(path).json()["stdout"]:
            assert time.monotonic() < give_up, http.get(path).json()
            time.sleep(0.05)
        (name,) = [path.name for path in own_state.iterdir()]
        assert containers(client, name)
        server.terminate()
        assert http.get(path, params={"wait": 30}).json()["result"] == "done"
        assert server.wait(HANG) == 0
    assert containers(client, name) == []
    assert list(own_state.iterdir()) == []


async def test_what_another_daemon_has_is_left_alone(
    own_state: Path, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    own_state.mkdir(parents=True)
    (own_state / "0123456789abcdef").write_text("unix:///elsewhere.sock")
    await make_docker()
    assert (own_state / "0123456789abcdef").exists()


async def test_containers_end_when_the_server_is_gone(
    client: docker.DockerClient, base_image: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    """Before any sweep: nothing computes on for a server that was killed."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, base_image], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    name = server.stdout.readline().strip()
    left = containers(client, name)
    server.kill()
    server.wait()
    server.stdout.close()
    for container in left:
        assert client.api.wait(container, timeout=10)["StatusCode"] == 0
    await make_docker()  # sweeps


async def test_a_state_folder_that_cannot_be_written_is_named(
    own_state: Path, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    from airlock import BackendUnavailable

    own_state.parent.mkdir(parents=True)
    own_state.write_text("a file")
    with pytest.raises(BackendUnavailable) as caught:
        await make_docker()
    assert "XDG_STATE_HOME" in caught.value.remedy
