"""A backend that runs Python without any sandbox: the smallest one against which the whole contract can be tested.

Tests run it on code of their own only. `test_testing.py` copies this file beside the suites that it lets pytest run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import airlock
from airlock import BackendSettings, PooledBackend, Worker, WorkerLost
from airlock.frames import Conversation

if TYPE_CHECKING:
    from airlock import Job, Limits, Outcome, Session, Stream

RUNNER = """
import json, os, resource, socket, sys
folder, descriptor, bounds = sys.argv[1:]
sys.path.insert(0, folder)
from worker import codec, script
channel = codec.Channel(socket.socket(fileno=int(descriptor)))
_, job = channel.receive()
for name, bound in json.loads(bounds).items():
    resource.setrlimit(getattr(resource, name), (bound, bound))
channel.send(codec.END, {"error": script.run(job, channel)})
os._exit(0)
"""


class PlainWorker(Worker):
    """A process that waits for its job."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        frames: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        limits: Limits,
    ) -> None:
        self._process = process
        self._reader, self._writer = frames
        self._limits = limits

    async def run(self, job: Job, session: Session) -> Outcome:
        if self._process.returncode is not None:
            raise WorkerLost("the process is gone")
        conversation = Conversation(job, session, self._limits, self._writer.write)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        await session.started()
        conversation.start()
        reading = [
            asyncio.create_task(self._listen(conversation)),
            asyncio.create_task(copy(self._process.stdout, "stdout", session)),
            asyncio.create_task(copy(self._process.stderr, "stderr", session)),
        ]
        try:
            return await conversation.ended
        finally:
            self._kill()
            await asyncio.gather(*reading)
            await conversation.close()

    async def stop(self) -> None:
        self._kill()
        await self._process.communicate()  # to the end of both pipes: a loop that ends earlier leaves them open
        self._writer.close()
        await self._writer.wait_closed()

    async def _listen(self, conversation: Conversation) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                await asyncio.sleep(0)  # output that was written before is read in the same turn, and goes first
                conversation.feed(data)
        except ConnectionResetError:
            pass
        conversation.exited(await self._process.wait())

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


async def copy(pipe: asyncio.StreamReader, stream: Stream, session: Session) -> None:
    while data := await pipe.read(1 << 16):
        session.write(stream, data)


class PlainBackend(PooledBackend[BackendSettings]):
    """One unconfined process per job, with the limits that a process can set on itself."""

    type = "plain"
    enforces = frozenset({"memory", "files", "file_size"})

    async def start_worker(self) -> Worker:
        limits = self.project.limits
        bounds = {
            "RLIMIT_AS": limits.memory,
            "RLIMIT_NOFILE": limits.files,
            "RLIMIT_FSIZE": limits.file_size,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-c", RUNNER, str(Path(airlock.__file__).parent)),
                *(str(theirs.fileno()), json.dumps(bounds)),
                pass_fds=[theirs.fileno()],
                env={"PYTHONUTF8": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        return PlainWorker(process, await asyncio.open_connection(sock=ours), limits)
