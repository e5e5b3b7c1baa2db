"""A backend that boots workers: each script gets its own Python process, without a sandbox.

Only for code that you trust, and as a start: put your sandbox where the process is started, and keep the rest.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import airlock
import airlock.worker
from airlock.sandbox import SandboxRun
from airlock.worker import codec, warm

# This runs inside. All it needs there is the folder of airlock.worker, under any name.
BOOT = """
import ctypes, json, os, resource, signal, socket, sys
config = json.loads(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: die with the server, however it dies
if os.getppid() != config["server"]:  # it is already dead
    os._exit(1)
sys.path.insert(0, config["folder"])
from worker import codec, one_script, reached, streams, warm
del sys.path[0]
channel = codec.Channel(socket.socket(fileno=config["frames"]))
streams.open_standard_streams()
try:
    warm.preload(config["preload"])
except warm.CannotPreload as error:
    channel.send(codec.READY, {"failed": str(error)})
    os._exit(1)
warm.prime()
channel.send(codec.READY, {})
_, job = channel.receive()
for name, bound in config["bounds"].items():
    resource.setrlimit(getattr(resource, name), (bound, bound))
told = reached.Reached(config["reached"], 0)  # writes a line to stderr when a script reaches a limit
signal.signal(signal.SIGXFSZ, told.file_size)
one_script.run(job, channel, told)  # and exit
"""


class PlainWorker(airlock.Worker):
    """A process that waits for its job."""

    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    def __init__(self, limits: airlock.Limits) -> None:
        self._limits = limits
        self._folder = tempfile.mkdtemp(prefix="airlock-plain-")  # where the script is written, and finds itself

    async def start(self, preload: tuple[str, ...]) -> None:
        """Boot the process; returns when it is ready. Call `stop` even when this fails or is cancelled."""
        limits = self._limits
        ours, theirs = socket.socketpair()
        with theirs:
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
            config = {
                "folder": str(Path(airlock.worker.__file__).parents[1]),
                "server": os.getpid(),
                "frames": theirs.fileno(),
                "preload": preload,
                "bounds": {
                    "RLIMIT_AS": limits.memory,
                    "RLIMIT_NOFILE": limits.files,
                    "RLIMIT_FSIZE": limits.file_size,
                },
                "reached": {key: limits.reached(key) for key in ("files", "file_size")},
            }
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", BOOT, json.dumps(config)),  # your sandbox goes here
                pass_fds=[theirs.fileno()],
                cwd=self._folder,
                env=warm.ENVIRONMENT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        try:
            size, _ = codec.HEADER.unpack(await self._reader.readexactly(codec.HEADER.size))
            said = json.loads(await self._reader.readexactly(size))  # written by our own code: no script has run yet
        except (asyncio.IncompleteReadError, ConnectionResetError):
            said = {"failed": "the process ended before it was ready"}
        if "failed" in said:
            raise airlock.BackendUnavailable(f"No worker can be started: {said['failed']}.", "Correct `preload`.")

    async def run(self, job: airlock.Job, run: airlock.Run) -> airlock.Outcome:
        process = self._process
        if process is None or process.returncode is not None:
            raise airlock.WorkerLost("the process ended before its job came")
        assert process.stdout is not None
        assert process.stderr is not None
        sandbox_run = SandboxRun(job, run, self._limits, self._writer.write, cores=os.cpu_count() or 1)
        await sandbox_run.started()
        reading = [
            asyncio.create_task(self._listen(sandbox_run, process)),
            asyncio.create_task(copy(process.stdout, "stdout", run)),
            asyncio.create_task(copy(process.stderr, "stderr", run)),
        ]

        async def end() -> None:  # called on cancellation too, which is how scripts are ended early
            kill(process)
            await asyncio.wait(reading, timeout=1)  # for the remaining output; END may arrive first
            for task in reading:
                task.cancel()

        return await sandbox_run.outcome(end)

    async def stop(self) -> None:
        if self._process is not None:
            kill(self._process)
            await self._process.communicate()  # reads both pipes to their end, so that they are closed
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _listen(self, sandbox_run: SandboxRun, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await self._reader.read(1 << 16):
                await asyncio.sleep(0)  # lets output that was written earlier go first
                sandbox_run.feed(data)
        sandbox_run.exited(await process.wait())  # after its last frame


def kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def copy(pipe: asyncio.StreamReader, stream: airlock.Stream, run: airlock.Run) -> None:
    while data := await pipe.read(1 << 16):
        run.write(stream, data)


class PlainBackend(airlock.PooledBackend[airlock.BackendSettings]):
    """One process per job, with the limits that a process can set for itself."""

    type = "plain"
    isolation = "none: for code that you trust"
    enforces = frozenset({"memory", "files", "file_size"})
    uses = frozenset({"preload"})

    async def start_worker(self) -> PlainWorker:
        worker = PlainWorker(self.project.limits)
        try:
            await worker.start(self.project.preload)
        except BaseException:
            await worker.stop()
            raise
        return worker


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    return [PlainBackend]
