"""A daemon that is not there, goes away, or says no: the project says so, and is itself again when it can."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from airlock import BackendUnavailable
from airlock_docker.engine import Engine

if TYPE_CHECKING:
    from containers.conftest import Daemon, Up

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("daemons")]  # a daemon of its own is enough at a time


async def test_a_daemon_that_is_killed_is_named_and_waited_for(
    own_daemon: Daemon, base_image: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    own_daemon.start()
    own_daemon.copy_image(base_image)
    up = await make_docker(replicas=2, settings={"docker_host": own_daemon.host})
    running, _ = await up.running("import time\nprint('there')\ntime.sleep(600)")

    own_daemon.end(signal.SIGKILL)
    ran = await running
    assert ran.outcome.error_type == "worker_lost"
    assert "the Docker daemon was lost while the script ran" in (ran.outcome.error or "")
    waiting, _ = up.start("set_result('at last')")
    async with asyncio.timeout(10):
        while "No Docker daemon answers" not in (up.backend.pool().detail or ""):
            await asyncio.sleep(0.02)
    assert not waiting.done()

    own_daemon.start()
    assert (await waiting).result == "at last"
    await up.settle()
    assert up.backend.pool().idle == 2
    assert up.backend.pool().detail is None
    await up.backend.close()
    assert own_daemon.docker("ps", "-aq") == ""


async def test_what_a_lost_daemon_keeps_is_swept_by_the_next_start(
    own_daemon: Daemon, own_state: Path, base_image: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    own_daemon.start()
    own_daemon.copy_image(base_image)
    up = await make_docker(settings={"docker_host": own_daemon.host})
    own_daemon.end(signal.SIGKILL)
    await up.backend.close()
    assert len(list(own_state.iterdir())) == 1
    own_daemon.start()
    assert len(own_daemon.docker("ps", "-aq").split()) == 1
    await (await make_docker(settings={"docker_host": own_daemon.host})).backend.close()
    assert own_daemon.docker("ps", "-aq") == ""
    assert list(own_state.iterdir()) == []


async def test_a_full_disk_fails_the_build_with_the_remedy(
    own_daemon: Daemon, base_image: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    own_daemon.start()
    own_daemon.copy_image(base_image)
    with (own_daemon.folder / "data-root" / "ballast").open("wb") as file:
        left = os.statvfs(file.fileno())
        file.write(bytes(left.f_bavail * left.f_frsize - (200 << 10)))
    with pytest.raises(BackendUnavailable, match=r"(cannot be built|refuses).*no space left on device") as caught:
        await make_docker(settings={"docker_host": own_daemon.host})
    assert "docker system prune" in str(caught.value)


async def test_without_a_daemon_the_project_is_down_with_the_remedy(
    tmp_path: Path, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    host = f"unix://{tmp_path}/none.sock"
    with pytest.raises(BackendUnavailable) as caught:
        await make_docker(settings={"docker_host": host})
    assert caught.value.detail == f"No Docker daemon answers at {host} (ENOENT)."
    assert "systemctl start docker" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not use the daemon")
def test_a_user_who_may_not_use_the_daemon_is_told_so(base_image: str) -> None:
    code = """
import asyncio, os, sys
import airlock
from airlock_docker import backend, diagnosis
import docker.transport.unixconn, encodings.idna
os.setgroups([])
os.setresuid(65534, 65534, 65534)
one = backend.DockerBackend(airlock.Project(name="x"), backend.DockerSettings(image=sys.argv[1]))
try:
    asyncio.run(one.scale(1))
except airlock.BackendUnavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, base_image], capture_output=True, text=True, check=False)
    assert "This user (uid 65534) may not use the Docker daemon at unix:///var/run/docker.sock." in done.stdout, done
    assert "group `docker`" in done.stdout


async def test_a_daemon_that_does_not_answer_is_given_up(make_docker: Callable[..., Awaitable[Up]]) -> None:
    connected: list[asyncio.StreamWriter] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        while await reader.read(1 << 16):
            pass
        writer.close()

    with tempfile.TemporaryDirectory(prefix="d") as folder:
        server = await asyncio.start_unix_server(listen, f"{folder}/d.sock")
        async with server:
            with pytest.raises(BackendUnavailable, match="did not answer in time"):
                await make_docker(settings={"docker_host": f"unix://{folder}/d.sock", "start_time_limit": 0.2})
            for writer in connected:
                await writer.wait_closed()  # what is left open is a ResourceWarning in the next test


async def test_a_call_that_outlives_its_engine_leaves_no_connection_open() -> None:
    engine = Engine(None, start_time_limit=30, stop_time_limit=30)
    begun, closed = threading.Event(), threading.Event()

    def ask_again(client: docker.APIClient) -> docker.APIClient:
        client.version()
        begun.set()
        assert closed.wait(30)
        client.version()
        return client

    asking = asyncio.create_task(engine.call(ask_again))
    assert await asyncio.to_thread(begun.wait, 30)
    await engine.close()
    closed.set()
    client = await asking
    assert not any(adapter.pools.keys() for adapter in client.adapters.values() if hasattr(adapter, "pools"))
