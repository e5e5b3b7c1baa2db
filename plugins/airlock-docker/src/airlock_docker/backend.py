"""The backend: single-use containers that stand ready."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from docker.errors import NotFound
from pydantic import Field

from airlock import BackendSettings, BackendUnavailable, PooledBackend, Project
from airlock.sandbox import NO_TERMINALS, NotPreloaded, Preloading, Watch
from airlock.worker import sizes
from airlock.worker.loopback import NO_NETWORK

from . import groups, hardening, images, instance, old_images, selftest
from .engine import Engine
from .instance import Instance
from .worker import DockerWorker

if TYPE_CHECKING:
    from .inside.config import Config

log = logging.getLogger(__name__)

USER_SPACE_KERNEL: Final = "runsc"
STARTS_AT_ONCE: Final = 8  # on two cores, four wait for the daemon while it could do more


class DockerSettings(BackendSettings):
    """Options of `backend: {type: docker}`."""

    image: str = Field(min_length=1, description="any image with glibc and CPython 3.9 or later as `python3`")
    runtime: str | None = Field(None, description="`runsc` for gVisor, if the daemon has it; unset: its default")
    network: Literal["none"] = Field("none", description="there is no other, for now")
    docker_host: str | None = Field(
        None,
        pattern="^unix://.+",
        description="address of the daemon; unset: $DOCKER_HOST, or unix:///var/run/docker.sock",
    )
    labels: dict[str, str] = Field(default_factory=dict, description="put on every container, beside Airlock's own")
    first_uid: int = Field(
        62_000, ge=1, le=64_511, description="containers run as the 1024 uids from this one on, in turn"
    )
    start_time_limit: float = Field(
        60,
        gt=0,
        le=3600,
        description="seconds that the daemon, and then the worker, may take to start a container",
    )
    stop_time_limit: float = Field(20, gt=0, le=600, description="seconds that it may take to remove one")


class DockerBackend(PooledBackend[DockerSettings]):
    """Runs each script in a container of its own, which was started before it was needed."""

    type = "docker"
    enforces: ClassVar[frozenset[str]] = frozenset({"cpus", "memory", "processes", "files", "file_size", "scratch"})
    uses: ClassVar[frozenset[str]] = frozenset({"packages", "preload", "preload_reseed"})
    Settings = DockerSettings
    isolation = "container without network and capabilities, seccomp"
    refill_delay: ClassVar[float] = 0.01  # making a container keeps two cores busy for a third of a second

    def __init__(self, project: Project, settings: DockerSettings) -> None:
        """Remember what was configured."""
        super().__init__(project, settings)
        self._engine: Engine | None = None
        self._instance: Instance | None = None
        self._image: dict[str, Any] | None = None
        self._cores = 1
        self._runtime = hardening.Runtime(settings.runtime)
        self._groups: groups.Groups | None = None
        self._preloading = Preloading(project)
        self._watch = Watch()
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._preparing = asyncio.Lock()

    async def scale(self, replicas: int) -> None:
        """Coming up from 0: sweep, provide the image, have a container tested. Then keep containers."""
        if replicas and not self._replicas:
            self._preloading, self.note = Preloading(self.project), None  # all are tried again
            await self._prepare()
        await super().scale(replicas)

    async def start_worker(self) -> DockerWorker:
        """Start one container."""
        async with self._starts:
            return await self._start_worker()

    async def close(self) -> None:
        """Leave nothing behind: no container, thread or file."""
        await super().close()
        is_clean = True
        if self._engine is not None:
            await self._engine.close()
            is_clean = self._engine.is_clean
            self._engine = None
        if self._instance is not None:
            self._instance.close(is_clean=is_clean)
            self._instance = None

    async def _prepare(self) -> None:
        settings = self.settings
        if self._engine is None:
            self._engine = Engine(
                settings.docker_host,
                start_time_limit=settings.start_time_limit,
                stop_time_limit=settings.stop_time_limit,
            )
        info = await self._engine.call(lambda client: client.info())
        if settings.runtime is not None and settings.runtime not in info["Runtimes"]:
            known = ", ".join(sorted(info["Runtimes"]))
            raise BackendUnavailable(
                f"The Docker daemon has no runtime {settings.runtime}; it has: {known}.",
                "Install it and register it with the daemon, or correct `runtime`.",
            )
        limits = self.project.limits
        self._cores = limits.usable_cores(info["NCPU"])
        if limits.cpus is not None:  # of the server's cores by default; the daemon may have fewer, and would refuse
            fewer = limits.model_copy(update={"cpus": min(limits.cpus, self._cores)})
            self.project = replace(self.project, limits=fewer)
        name = settings.runtime or info["DefaultRuntime"]
        program = info["Runtimes"][name].get("path", "").split("/")[-1]
        self._runtime = hardening.Runtime(settings.runtime, has_own_kernel=USER_SPACE_KERNEL in (name, program))
        if self._instance is None:
            await instance.sweep(self._engine)
            self._instance = Instance(self._engine.host)
        image = await images.provide(self._engine, self.project, settings.image, self._runtime, settings.first_uid)
        await self._test(image)
        self._image = image
        await old_images.remove(self._engine)

    async def _test(self, image: dict[str, Any]) -> None:
        """Fail closed, and find out where the groups of containers can be read.

        Raises BackendUnavailable when a container does not confine as it should.
        """
        assert self._engine is not None
        worker = await self._start_one(image)
        try:
            self._groups = groups.find(worker.id, await self._engine.pid(worker.name))
            missing = await selftest.failures(worker, self.project.limits)
        finally:
            await worker.stop()
        if missing:
            raise BackendUnavailable(
                f"Containers do not hold what they should: {', '.join(missing)}.",
                "Look at how the daemon is configured (`docker info`), and at `runtime`; nothing runs until they do.",
            )
        layers = ["container without network and capabilities", "seccomp"]
        layers += ["Landlock"] if worker.landlock_version else []
        runtime = self.settings.runtime or "the daemon's default"
        self.isolation = f"{', '.join(layers)}; runtime: {runtime}; {self._uids()}"

    def _uids(self) -> str:
        first = self.settings.first_uid
        return f"uids {first} to {first + hardening.UIDS - 1}"

    async def _start_worker(self) -> DockerWorker:
        async with self._preparing:
            if self._image is None:  # it was removed while we were up
                await self._prepare()
        assert self._image is not None
        return await self._start_one(self._image)

    async def _start_one(self, image: dict[str, Any]) -> DockerWorker:
        """Start one with all modules of `preload` that can be preloaded."""
        while True:
            try:
                return await self._try_one(image)
            except NotPreloaded as fault:
                self._preloading.leave_out(fault)
                self.note = self._preloading.note

    async def _try_one(self, image: dict[str, Any]) -> DockerWorker:
        assert self._engine is not None
        assert self._instance is not None
        worker = DockerWorker(
            self._engine,
            self._instance.next_name(),
            self._instance.next_uid(self.settings.first_uid, hardening.UIDS),
            self.project.limits,
            self._cores,
            self._watch,
            self.lost,
        )
        try:
            worker.id, stream = await self._engine.launch(worker.name, self._container(image, worker.uid))
        except NotFound as error:
            self._image = None
            raise BackendUnavailable(f"Docker refuses: {error.explanation}.", "It is tried again.") from error
        try:
            await worker.start(stream, self.settings.start_time_limit)
        except BaseException:
            await worker.stop()
            raise
        if self._groups is not None:
            worker.counters = self._groups.counters(worker.id)
        await self._engine.discard_left()
        return worker

    def _container(self, image: dict[str, Any], uid: int) -> dict[str, Any]:
        limits = self.project.limits
        config: Config = {
            "preload": self._preloading.modules,
            "preload_reseed": list(self.project.preload_reseed),
            "memory": limits.memory,
            "cpus": limits.cpus,
            "processes": limits.processes,
            "files": limits.files,
            "file_size": limits.file_size,
            "reached": {
                **{key: limits.reached(key) for key in ("files", "file_size", "scratch", "processes")},
                "network": NO_NETWORK,
                **({} if self._runtime.has_own_kernel else {"terminals": NO_TERMINALS}),
            },
            "counts_processes_by_user": self._runtime.has_own_kernel,
            "cores": self._cores,
            "prefix": images.PREFIX,
        }
        assert self._instance is not None
        return hardening.container(
            image["Id"],
            ["python3", "-I", images.MAIN, json.dumps(config)],
            limits=limits,
            uid=uid,
            labels={**self.settings.labels, "airlock.project": self.project.name, **self._instance.labels},
            runtime=self._runtime,
            environment={
                "PATH": images.command_path(image),
                "PYTHONPATH": images.python_path(image),
                **sizes.environment(self._cores),
            },
            volumes=image["Config"].get("Volumes") or (),
        )
