"""Fixtures: a Docker daemon and a base image that are really there, and short ways to run things."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from airlock import Limits, Project
from airlock.testing import Ran, RunningPool, missing
from airlock_docker import diagnosis
from airlock_docker.backend import DockerBackend, DockerSettings
from airlock_docker.engine import DEFAULT_HOST

IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")
THROW_AWAY = f"throw-away-{os.getpid()}"  # a project; other processes may run these tests beside this one
HANG = 60.0  # seconds after which a test that should take one has failed


ALONE = "TestGVisor::test_script_over_limits_memory_ends_as_memory_limit"


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run alone what a busy machine changes: the daemon then does not always see why a sandbox of gVisor was killed."""
    for item in items:
        if item.nodeid.endswith(ALONE):
            item.add_marker(pytest.mark.timed)


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio: Airlock is written for it."""
    return "asyncio"


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """The daemon, asked directly."""
    if (refusal := diagnosis.unreachable(os.environ.get("DOCKER_HOST", DEFAULT_HOST))) is not None:
        missing("docker", str(refusal))
    found = docker.from_env()
    try:
        found.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        found.close()
        missing("docker", f"no image {IMAGE}; `.ci/docker` makes it, $AIRLOCK_TEST_IMAGE names another one")
    yield found
    for image in found.images.list(filters={"label": f"airlock.project={THROW_AWAY}"}):
        found.images.remove(str(image.id), force=True)
    found.close()


@pytest.fixture(scope="session")
def base_image() -> str:
    """The name of the image that projects use."""
    return IMAGE


@pytest.fixture(scope="session")
def throw_away() -> str:
    """The name of a project whose images are removed in the end."""
    return THROW_AWAY


@pytest.fixture(scope="session", autouse=True)
def daemon(client: docker.DockerClient) -> None:
    """Where there is none, one clear line says so instead of a failure for each test."""


class Daemon:
    """A Docker daemon of a test's own, which it may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        names = ("data-root", "exec-root", "pidfile")
        places = [f"--{name}={self.folder / name}" for name in names]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["dockerd", f"--host={self.host}", *places, "--iptables=false", "--ip6tables=false", "--bridge=none"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(300):
            try:
                self.docker("version")
            except subprocess.CalledProcessError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError((self.folder / "log").read_text()[-3000:])

    def docker(self, *arguments: str) -> str:
        """Run a command of Docker's own client."""
        done = subprocess.run(["docker", "-H", self.host, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def copy_image(self, image: str) -> None:
        """Bring an image over from the daemon that all other tests use."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as save:
            subprocess.run(
                ["docker", "-H", self.host, "load", "-q"], stdin=save.stdout, check=True, capture_output=True
            )

    def end(self, number: signal.Signals) -> None:
        """Send it a signal, and wait for its end."""
        if self._process is None:
            return
        containerd = Path("/proc", (self.folder / "exec-root/containerd/containerd.pid").read_text())
        self._process.send_signal(number)
        self._process.wait(60)
        self._process = None
        for _ in range(300):  # it dies with its daemon; until it is buried, the next daemon would take it for alive
            if not containerd.exists():
                return
            time.sleep(0.1)
        raise AssertionError("containerd does not die with its daemon")


@pytest.fixture
def own_daemon() -> Iterator[Daemon]:
    """A daemon without images, on a disk of 400 MB, which is not started yet."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        missing("docker", "only root can start a daemon of its own, with `dockerd`")
    folder = Path(tempfile.mkdtemp(prefix="d"))
    disk = folder / "data-root"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(disk)], check=True)
    daemon = Daemon(folder)
    yield daemon
    daemon.end(signal.SIGTERM)
    subprocess.run(["umount", "--recursive", "--lazy", str(disk)], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    gc.collect()  # a connection that nobody closed is this test's fault, not that of a later one


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep tests away from the containers of a server that runs on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "airlock" / "docker"


class Up(RunningPool[DockerBackend]):
    """A backend that is up, and short ways to run things on it."""

    async def running(self, code: str) -> tuple[asyncio.Task[Ran], str]:
        """Run in the background until something is printed; returns the name of its container too."""
        worker = self.backend._idle[0]
        assert hasattr(worker, "name")
        task, run = self.start(code)
        async with asyncio.timeout(HANG):
            await run.until(lambda run: run.stdout)
        return task, worker.name


@pytest.fixture
async def make_docker(own_state: Path) -> AsyncIterator[Callable[..., Awaitable[Up]]]:
    """Bring up a backend: `await make_docker(replicas=2, preload=("json",), memory="64MiB")`."""
    made: list[DockerBackend] = []

    async def make(
        *,
        replicas: int = 1,
        name: str = "test",
        packages: tuple[str, ...] = (),
        preload: tuple[str, ...] = (),
        preload_strict: bool = False,
        settings: dict[str, Any] | None = None,
        **limits: Any,
    ) -> Up:
        project = Project(
            name=name, packages=packages, preload=preload, preload_strict=preload_strict, limits=Limits(**limits)
        )
        backend = DockerBackend(project, DockerSettings.model_validate({"image": IMAGE, **(settings or {})}))
        made.append(backend)
        await backend.scale(replicas)
        return Up(backend, HANG)

    yield make
    for backend in made:
        async with asyncio.timeout(HANG):
            await backend.close()


@pytest.fixture
async def up(make_docker: Callable[..., Awaitable[Up]]) -> Up:
    """A backend with default limits and one container that waits."""
    return await make_docker()
