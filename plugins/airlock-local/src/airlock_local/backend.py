"""The backend: warm standbys in a box of namespaces on this machine."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field

from airlock import BackendSettings, BackendUnavailable, PooledBackend, Project, WorkerLost
from airlock.sandbox import NotPreloaded, Preloading, Watch

from . import cgroups, diagnosis, hierarchies, packages, run_directory, selftest
from .box import Box
from .box_config import LIBRARY
from .identities import UIDS
from .run_directory import RunDirectory
from .slots import Slots
from .standby import LocalWorker

if TYPE_CHECKING:
    from airlock import Job, Outcome, Run

    from .cgroups import Groups
    from .packages import Site

log = logging.getLogger(__name__)

SHORT_LIFE: Final = 1.0  # seconds; a box that dies sooner is not replaced at once: the pool waits and tries again
STARTS_AT_ONCE: Final = 16  # more would fill the zygote's socket, and the user's allowance of descriptors in flight
CLOSE_TRIES: Final = 50


class LocalSettings(BackendSettings):
    """Options of `backend: {type: local}`."""

    isolation: Literal["full", "reduced"] = Field(
        "full", description="reduced: run scripts even if the self-test finds a layer of the sandbox missing"
    )
    reuse: Literal["pristine", "never"] = Field(
        "pristine",
        description="pristine: a script that left its sandbox as it found it is followed by another one in there; "
        "never: each script has a new sandbox",
    )
    first_uid: int = Field(
        64_111,
        ge=1000,
        le=0x7FFF_0000,
        strict=True,
        description=f"if the server is root: executions have uids of their own, of the {UIDS} from this one on",
    )


class LocalBackend(PooledBackend[LocalSettings]):
    """Runs each script in a fresh fork of a warm interpreter, in namespaces of its own, without network.

    The pool has one box; when that dies, what ran in it ends as `worker_lost`, and the next worker that is wanted
    brings up another one.
    """

    type = "local"
    enforces: ClassVar[frozenset[str]] = frozenset({"cpus", "memory", "processes", "files", "file_size", "scratch"})
    uses: ClassVar[frozenset[str]] = frozenset({"packages", "preload", "preload_reseed"})
    Settings = LocalSettings
    isolation = "namespaces, seccomp, Landlock"

    def __init__(self, project: Project, settings: LocalSettings) -> None:
        """Remember what was configured."""
        super().__init__(project, settings)
        self._box: Box | None = None
        self._slots: Slots | None = None
        self._box_started = 0.0
        self._changing_box = asyncio.Lock()
        self._site: Site | None = None
        self._preloading = Preloading(project)
        self._directory: RunDirectory | None = None
        self._groups: Groups | None = None
        self._watch = Watch()
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._running = 0
        self._none_runs = asyncio.Event()
        self._none_runs.set()
        self._letting_go: set[asyncio.Task[None]] = set()

    async def scale(self, replicas: int) -> None:
        """Install packages, build the box and have it tested when they are first needed, then keep workers."""
        if replicas == 0:
            await super().scale(0)
            await self._let_go()
            return
        before, self._replicas = self._replicas, replicas  # from now on nothing is let go
        if self._slots is not None:
            self._slots.keep(replicas)
        try:
            async with self._changing_box:
                await self._prepare()
            await super().scale(replicas)
        except BaseException as error:
            self._replicas = before
            if not before:
                await self.scale(0)
            if isinstance(error, WorkerLost):
                raise BackendUnavailable(f"The sandbox died at its start: {error}.", "The log says more.") from error
            if isinstance(error, OSError):
                raise diagnosis.explain("server", error.errno, str(error)) from error
            raise

    async def start_worker(self) -> LocalWorker:
        """Start one standby, and its box first if there is none."""
        async with self._changing_box:
            if self._box is None or not self._box.is_alive:
                await self._replace_box()
            box = self._box
        assert box is not None
        async with self._starts:
            return await self._start_in(box)

    async def execute(self, job: Job, run: Run) -> Outcome:
        """Run a job on a standby. The box outlives `scale(0)` by the executions that still run in it."""
        self._running += 1
        self._none_runs.clear()
        try:
            return await super().execute(job, run)
        finally:
            self._running -= 1
            if not self._running:
                self._none_runs.set()
            if not self._replicas:
                self._spawn(self._letting_go, self._let_go())

    async def close(self) -> None:
        """Leave nothing behind: no process, mount, cgroup or file."""
        self._replicas = 0
        if self._running and self._box is not None:
            self._box.kill()  # core gave up waiting for them
            await self._none_runs.wait()
        await self.scale(0)
        await asyncio.gather(*self._letting_go)

    async def _prepare(self) -> None:
        diagnosis.check_machine()
        if self.project.packages and self._site is None:
            self._site = await packages.provide(self.project)
        if self._directory is None:
            run_directory.sweep()
            self._directory = RunDirectory()
            self._groups = cgroups.find(self._directory.name, self.project.limits)

    async def _let_go(self) -> None:
        async with self._changing_box:
            if self._running or self._replicas:
                return  # the last one that runs comes here again
            await super().scale(0)
            await self._stop_box()
            if self._groups is not None:
                await _close(self._groups)
                self._groups = None
            if self._directory is not None:
                self._directory.close()
                self._directory = None
            if self._site is not None:
                self._site.close()
                self._site = None
            self._preloading = Preloading(self.project)  # when it comes up again, all are tried again
            self.note = None

    async def _replace_box(self) -> None:
        loop = asyncio.get_running_loop()
        if self._box is not None:
            await self._stop_box()
            if loop.time() - self._box_started < SHORT_LIFE:
                raise BackendUnavailable("The sandbox's zygote died as soon as it was up.", "The log says more.")
        box = await self._start_box()
        try:
            await self._test(box)
        except BaseException:
            await box.stop()
            raise
        self._box = box
        self._box_started = loop.time()

    async def _stop_box(self) -> None:
        if self._slots is not None:
            await self._slots.close()
            self._slots = None
        if self._box is not None:
            await self._box.stop()
            self._box = None

    async def _start_box(self) -> Box:
        """Start one with all modules of `preload` that can be preloaded."""
        while True:
            try:
                return await self._try_box()
            except NotPreloaded as fault:
                self._preloading.leave_out(fault)
                self.note = self._preloading.note

    async def _try_box(self) -> Box:
        assert self._directory is not None
        self._directory.renew()
        box = Box(
            self.project,
            self._directory,
            None if self._site is None else self._site.path,
            first_uid=self.settings.first_uid,
            controllers=frozenset() if self._groups is None else self._groups.controllers,
            preload=self._preloading.modules,
            reuse=self.settings.reuse == "pristine",
        )
        await box.start()
        return box

    async def _test(self, box: Box) -> None:
        """Fail closed. Raises BackendUnavailable when a layer is missing, unless the operator allowed that."""
        assert self._directory is not None
        worker = await self._start_in(box)
        try:
            missing = await selftest.failures(box, worker, self._directory.path)
        finally:
            await worker.stop()
        self.isolation = self._describe(box, missing)
        if missing and self.settings.isolation == "full":
            raise BackendUnavailable(
                f"The sandbox does not hold what it should: {', '.join(missing)}.",
                "Correct that, or accept less protection with `backend: {type: local, isolation: reduced}`.",
            )
        if self._cpus_not_held:
            cause = hierarchies.why_none() if self._groups is None else "no controller cpu in its control group"
            log.warning("project %s: limits.cpus is not held (%s); scripts may use all cores", self.project.name, cause)
        for what in missing:
            log.warning("project %s runs with `isolation: reduced`, without: %s", self.project.name, what)

    def _describe(self, box: Box, missing: list[str]) -> str:
        layers = ["namespaces", "seccomp", *(["Landlock"] if box.landlock_version else [])]
        first = box.first_uid
        user = "as the server's own user"
        if first is not None:  # that one is the box's
            user = f"each as one of the uids {first + 1} to {first + UIDS - 1}"
        if self._groups is not None:
            layers.append(self._groups.describe())
        again = "used again by scripts that leave nothing" if box.reuses else "a new one for each script"
        loop = f" ({'in C' if LIBRARY.exists() else 'in Python: no C compiler was there'})" if box.reuses else ""
        held = frozenset() if self._groups is None else self._groups.controllers
        weak = [] if self._groups is not None else [f"no cgroup ({hierarchies.why_none()})"]
        weak += [] if {"memory", "pids"} <= held else ["memory and process limits are per process only"]
        if self._cpus_not_held:
            weak.append("limits.cpus is not held")
        reduced = [f"REDUCED, without: {', '.join(missing)}"] if missing else []
        return "; ".join([", ".join(layers), user, f"sandboxes: {again}{loop}", *weak, *reduced])

    @property
    def _cpus_not_held(self) -> bool:
        held = frozenset() if self._groups is None else self._groups.controllers
        return self.project.limits.cpus is not None and "cpu" not in held

    async def _start_in(self, box: Box) -> LocalWorker:
        if self._slots is None or self._slots.box is not box:
            self._slots = Slots(box, self._groups)
            self._slots.keep(self._replicas)
        return await LocalWorker.start(box, self._slots, self._watch, self.project.limits, self.lost)


async def _close(groups: Groups) -> None:
    for _ in range(CLOSE_TRIES):
        if groups.close():
            return
        await asyncio.sleep(0.02)  # the kernel takes a moment to let go of the last process
    log.warning("a cgroup could not be removed; the next start of Airlock does that")
