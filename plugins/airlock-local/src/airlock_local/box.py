"""The server's side of one box: it starts the zygote, sends it descriptors, and notices when it dies."""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import json
import logging
import os
import resource
import socket
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from airlock import BackendUnavailable, WorkerLost
from airlock.sandbox import NotPreloaded
from airlock.worker import sizes, warm

from . import diagnosis
from .box_config import configuration, etc
from .filesystem import PREFIX, SITE, visible
from .identities import Identities
from .processes import wait_dead
from .sandbox.layers import LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airlock import Project

    from .identities import Identity
    from .run_directory import RunDirectory

log = logging.getLogger(__name__)

START_TIMEOUT: Final = 120.0  # seconds; `preload` may import something big from a cold disk
END_TIMEOUT: Final = 5.0
EVERY_LAYER: Final = tuple(layer.__name__ for layer in LAYERS)
PACKAGES: Final = ("airlock.worker", "airlock_local.sandbox")
PATH: Final = f"{PREFIX}/bin:{SITE}/bin:/usr/local/bin:/usr/bin:/bin"


class Box:
    """Namespaces with a zygote in them."""

    def __init__(
        self,
        project: Project,
        directory: RunDirectory,
        packages: Path | None,
        *,
        controllers: frozenset[str],
        first_uid: int,
        preload: list[str],
        reuse: bool,
        layers: Sequence[str] = EVERY_LAYER,
    ) -> None:
        """`preload` is what is left of the project's. `controllers` are those of its executions' cgroups; from
        `first_uid` on they have uids if we are root.
        """
        self._project = project.name
        # Whether a script that leaves nothing is followed by another one. Tests leave layers out.
        self.reuses = reuse and tuple(layers) == EVERY_LAYER
        self._directory = directory.path
        self._view = visible(packages)
        self.first_uid = first_uid if os.geteuid() == 0 else None
        self.identities = Identities(has_uids=self.first_uid is not None)
        self.cores = project.limits.usable_cores(len(os.sched_getaffinity(0)))
        # The zygote itself reads none of it (-I); this is for libraries, and for an interpreter that a script starts.
        self.environment = {"PATH": PATH, **warm.ENVIRONMENT, **sizes.environment(self.cores)}
        self._config = configuration(
            project,
            self._view,
            packages,
            cores=self.cores,
            first_uid=self.first_uid,
            controllers=controllers,
            preload=preload,
            layers=layers,
        )
        self.landlock_version = 0
        self.zygotes_namespaces: dict[str, str] = {}  # their names by kind: a standby's must differ
        self._exits: dict[int, Callable[[int | None], None]] = {}  # by the number of the standby
        self._numbers = itertools.count(1)
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._stderr = -1

    @property
    def resource_limits(self) -> dict[int, int]:
        """What the most important resource limits must not exceed."""
        limits = self._config["limits"]
        return {
            resource.RLIMIT_NOFILE: limits["files"],
            resource.RLIMIT_FSIZE: limits["file_size"],
            resource.RLIMIT_CORE: 1,
        }

    @property
    def etc(self) -> dict[str, str | None]:
        """What scripts find directly in /etc, see `etc`."""
        return etc(self._config)

    @property
    def is_alive(self) -> bool:
        """Whether the zygote can still be asked for standbys. Looks at the socket: its death may be news."""
        if self._control is None:
            return False
        try:
            return bool(self._control.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def start(self) -> None:
        """Start the zygote; returns when it is warm.

        Raises BackendUnavailable, with the remedy, when this machine refuses; NotPreloaded for a fault of `preload`.
        """
        loop = asyncio.get_running_loop()
        importing: str | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        try:
            with theirs:
                self._spawn(theirs)
            async with asyncio.timeout(START_TIMEOUT):
                report = await self._hear(ours)
                while "importing" in report:
                    importing = report["importing"]
                    report = await self._hear(ours)
        except TimeoutError:
            await self.stop()
            raise BackendUnavailable(
                f"The sandbox did not come up within {START_TIMEOUT:g} s"
                + (f": it imported {importing}." if importing else "."),
                "See `preload` for what takes so long.",
            ) from None
        except OSError as error:
            await self.stop()
            raise BackendUnavailable(f"The sandbox's process could not be started: {error}.") from error
        except BaseException:
            await self.stop()
            raise
        if "failed" in report:
            await self.stop()
            raise _explain(report, importing)
        self.landlock_version = report["landlock"]
        self.reuses = self.reuses and self.landlock_version > 0  # without it, there is too much that a script can write
        self.zygotes_namespaces = report["namespaces"]
        loop.add_reader(ours, self._on_exits)

    def make_slot(
        self, identity: Identity, descriptors: Sequence[int], on_exit: Callable[[int | None], None], *, reuse: bool
    ) -> int:
        """Ask for a slot with these [its socket, cgroup...]. Raises WorkerLost when nobody is there.

        `on_exit` is told once how its process ended (negative: by that signal), or None if that was no doing of a
        script. Returns the number for `forget`.
        """
        if self._control is None:
            raise WorkerLost("the box is gone")
        number = next(self._numbers)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        try:
            self._control.sendmsg([b"%d %d %d %d" % (number, *identity, reuse)], [rights])
        except OSError as error:  # also when it has not taken up what was asked for before: it hangs
            raise WorkerLost(f"the zygote does not take requests: {error}") from error
        self._exits[number] = on_exit
        return number

    def ask_for_place(self, number: int) -> None:
        """Have this one's script write to stderr where it is, and die, if it does not resist. May do nothing."""
        if self._control is not None:
            with contextlib.suppress(OSError):  # the zygote is gone, or hangs
                self._control.send(b"%d" % number)

    def forget(self, number: int) -> None:
        """Tell nobody how this one ended."""
        self._exits.pop(number, None)

    def kill(self) -> None:
        """Kill the zygote, and so all that is in the box; its executions notice that as they would any other death."""
        if self._process is not None:
            self._process.kill()

    async def stop(self) -> None:
        """Kill all that is in the box, and give everything back. Call it again if it was cancelled."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
            self._all_exited()
        if self._process is not None:
            self._process.kill()
            if self._pidfd >= 0 and not await wait_dead(self._pidfd, END_TIMEOUT):
                log.error("project %s: process %d does not die", self._project, self._process.pid)
                return
            self._process.wait()
            self._process = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1

    async def _hear(self, control: socket.socket) -> dict[str, Any]:
        """Return what the zygote says next of its start."""
        answer = await asyncio.get_running_loop().sock_recv(control, 1 << 16)
        if answer:
            report: dict[str, Any] = json.loads(answer)
            return report
        return {"failed": "died", "errno": None, "message": self._last_words()}

    def _spawn(self, theirs: socket.socket) -> None:
        sources = sandbox_sources()
        bootstrap = sources[f"{PACKAGES[1]}.bootstrap"]
        self._stderr = os.memfd_create("stderr")
        config = os.memfd_create("config")
        try:
            with os.fdopen(os.dup(config), "wb") as out:
                out.write(json.dumps({**self._config, "sources": sources}).encode())
            os.lseek(config, 0, os.SEEK_SET)
            # Not in a thread: the kernel would end the box with the thread that started it (PDEATHSIG).
            self._process = subprocess.Popen(
                [self._view.executable, "-I", "-S", "-c", bootstrap, str(theirs.fileno()), str(config)],
                pass_fds=[theirs.fileno(), config],
                env=self.environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                start_new_session=True,  # Ctrl-C at the terminal is for the server alone
            )
            self._pidfd = os.pidfd_open(self._process.pid)
        finally:
            os.close(config)

    def _on_exits(self) -> None:
        assert self._control is not None
        try:
            message = self._control.recv(64)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            asyncio.get_running_loop().remove_reader(self._control)
            log.error("project %s: the zygote died: %s", self._project, self._last_words())
            self._all_exited()
            return
        number, *code = map(int, message.split())
        on_exit = self._exits.pop(number, None)
        if on_exit is not None:
            on_exit(code[0] if code else None)

    def _all_exited(self) -> None:
        while self._exits:
            _, on_exit = self._exits.popitem()
            on_exit(None)

    def _last_words(self) -> str:
        words = os.pread(self._stderr, 1 << 20, 0).decode(errors="replace").strip()
        return words[-2000:] or "killed from outside, or by the kernel for lack of memory (its log says so)"


def sandbox_sources() -> dict[str, str]:
    """Return the texts of the modules that run inside: the box finds no file of the server."""
    sources = {"airlock": "", "airlock_local": ""}
    for package in PACKAGES:
        for file in resources.files(package).iterdir():
            if file.name.endswith(".py"):
                name = f"{package}.{file.name.removesuffix('.py')}".removesuffix(".__init__")
                sources[name] = file.read_text()
    return sources


def _explain(report: dict[str, Any], importing: str | None) -> BackendUnavailable:
    message = report["message"]
    if report["failed"] == "CannotPreload":
        return NotPreloaded(message, report["module"])
    if report["failed"] == "died" and importing:
        return NotPreloaded(f"preload: {importing}: when it is imported, the interpreter dies: {message}", importing)
    return diagnosis.explain("box", report["errno"], message)
