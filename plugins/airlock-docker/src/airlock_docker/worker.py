"""One container, seen from the server: it stands ready for one execution, and is removed after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airlock import BackendUnavailable, ProtocolViolation, Worker, WorkerLost
from airlock.sandbox import FrameReader, NotPreloaded, SandboxRun
from airlock.worker import codec

from .attachment import Attachment
from .inside.supervisor import EXIT_CODE, EXITED, FRAMES, READ_SIZE, STDERR, STDOUT

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from airlock import Job, Limits, Outcome, Run
    from airlock.sandbox import Counters, Watch

    from .engine import Engine

log = logging.getLogger(__name__)

KILL_PATIENCE: Final = 0.4  # seconds that the supervisor gets to end everything by itself; it takes milliseconds
KILL_TIMEOUT: Final = 1.0  # and then the daemon
END_PATIENCE: Final = 0.5  # seconds
BURIAL: Final = 0.05  # seconds from the end of a container's streams to that of the container, for the daemon
CAUSE_PATIENCE: Final = 2.0  # seconds that a container without its supervisor takes to be dead for the daemon
KILLED: Final = 128 + signal.SIGKILL  # as the daemon says it
MAX_READY: Final = 1 << 16
ENDLESS: Final = 1 << 62  # of output there is no end; of frames `Conversation` keeps the total


class DockerWorker(Worker):
    """Made by `start`."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        uid: int,
        limits: Limits,
        cores: int,
        watch: Watch,
        on_idle_death: Callable[[DockerWorker], None],
    ) -> None:
        self.name = name
        self.id = ""
        self.uid = uid  # of the script, inside and for the host
        self.counters: Counters | None = None  # where the daemon's control groups can be read
        self.landlock_version = 0
        self._engine = engine
        self._limits = limits
        self._cores = cores
        self._watch = watch
        self._on_idle_death = on_idle_death
        self._loop = asyncio.get_running_loop()
        self._records = FrameReader(READ_SIZE, ENDLESS)
        self._ready_frames = FrameReader(MAX_READY)
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._attachment: Attachment | None = None
        self._is_running = False
        self._sandbox_run: SandboxRun | None = None
        self._processes_reached = limits.reached("processes").encode()
        self._lost = "the container was removed while the script ran"  # or what the daemon says of it

    async def start(self, stream: socket.socket, time_limit: float) -> None:
        """Take over a container that was launched; returns when it stands ready.

        Raises BackendUnavailable when it does not get there, NotPreloaded for a fault of `preload`. Call `stop` then,
        too.
        """
        self._attachment = await Attachment.attach(stream, self._on_stdout, self._on_end)
        try:
            async with asyncio.timeout(time_limit):
                ready = await self._ready
        except TimeoutError:
            raise BackendUnavailable(
                f"A container did not get ready within {time_limit:g} s.",
                "See `preload` for what takes so long, and `start_time_limit` of the backend.",
            ) from None
        except WorkerLost as lost:
            raise await self._why_not_ready() from lost
        if ready.get("failed") == "preload":
            raise NotPreloaded(ready["message"], ready["module"])
        if "failed" in ready:
            raise BackendUnavailable(
                f"The script's process could not be confined ({ready['failed']}: {ready['message']}).",
                "Nothing runs without it. Please report this with the output of `docker info`.",
            )
        self.landlock_version = ready["landlock"]

    async def run(self, job: Job, run: Run) -> Outcome:
        """Run the job. Returns at once when the script's main code has finished; otherwise waits for its death."""
        attachment = self._attachment
        if attachment is None or attachment.ended.done():
            raise WorkerLost("the container was gone before its job came")
        sandbox_run = SandboxRun(
            job,
            run,
            self._limits,
            attachment.send,
            cores=self._cores,
            counters=self.counters,
            watch=self._watch,
        )
        await sandbox_run.started()
        self._sandbox_run, self._is_running = sandbox_run, True
        if attachment.ended.done():
            sandbox_run.exited(None)

        async def end() -> None:
            if not sandbox_run.said_end and sandbox_run.exit_code is None:
                sandbox_run.ask_for_place()  # the supervisor always does
                await self._kill(attachment)

        try:
            outcome = await sandbox_run.outcome(end, self._killed_for_memory)
        finally:
            self._is_running = False
        return replace(outcome, error=self._lost) if outcome.error_type == "worker_lost" else outcome

    async def stop(self) -> None:
        """Kill what is left, and remove the container, also when this is cancelled."""
        if self.counters is not None:
            self.counters.close()
        try:
            if self._attachment is not None:
                await self._end(self._attachment)
        finally:
            if self._attachment is not None:
                self._attachment.close()  # first: one that nobody reads can block the kill (moby#41827)
            await self._engine.discard(self.name)

    async def _end(self, attachment: Attachment) -> None:
        """Let it end by itself: to remove one that runs costs the daemon a program more."""
        attachment.send_end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                await asyncio.shield(attachment.ended)
                await asyncio.sleep(BURIAL)

    def _on_stdout(self, data: bytes) -> None:
        try:
            for kind, body in self._records.feed(data):
                self._record(kind, body)
        except ProtocolViolation as violation:
            if self._sandbox_run is not None:
                self._sandbox_run.end("protocol", f"protocol violation: {violation}")

    def _record(self, kind: int, body: bytes) -> None:
        if kind in (STDOUT, STDERR):
            if self._is_running and self._sandbox_run is not None:
                self._sandbox_run.write("stdout" if kind == STDOUT else "stderr", body)
            if kind == STDERR and self._sandbox_run is not None and self._processes_reached in body:
                self._sandbox_run.named.add("processes")  # inside, which sees those errors only that nobody catches
        elif kind == FRAMES:
            if self._sandbox_run is not None:
                self._sandbox_run.feed(body)
            else:
                self._on_ready(body)
        elif kind == EXITED and len(body) == EXIT_CODE.size:
            if self._sandbox_run is not None:
                self._sandbox_run.exited(*EXIT_CODE.unpack(body))
            elif self._attachment is not None:
                self._attachment.send_end()  # no counter to read: let it go at once
        else:
            raise ProtocolViolation(f"record of kind {kind}")

    def _on_ready(self, data: bytes) -> None:
        for kind, body in self._ready_frames.feed(data):  # no script ran yet: this is our own code's word
            if kind == codec.READY and not self._ready.done():
                self._ready.set_result(json.loads(body))

    def _on_end(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(WorkerLost("the container died at its start"))
            self._ready.exception()  # a start that was given up does not ask for it, which asyncio would report
        elif self._sandbox_run is not None:
            self._sandbox_run.exited(None)
        else:
            self._on_idle_death(self)

    async def _kill(self, attachment: Attachment) -> None:
        """End it before it ends itself, and wait until its last output is here."""
        attachment.send_end()
        try:
            async with asyncio.timeout(KILL_PATIENCE):
                await asyncio.shield(attachment.ended)
        except TimeoutError:
            pass
        else:
            return
        try:
            async with asyncio.timeout(KILL_TIMEOUT):
                await self._engine.kill(self.name)
                await asyncio.shield(attachment.ended)
        except (TimeoutError, BackendUnavailable) as error:
            log.warning("container %s does not die: %s", self.name, str(error) or "no end in time")

    async def _killed_for_memory(self) -> bool:
        """Ask the daemon, which may know more of a death than we do; keep what it says."""
        try:
            state = await self._engine.state(self.name, CAUSE_PATIENCE)
        except BackendUnavailable as error:
            self._lost = f"the Docker daemon was lost while the script ran: {error.detail}"
            return False
        if state is None:
            return False
        if state["Running"]:
            self._lost = "the connection to the container was lost"
        else:
            unseen = "was killed from outside, or for lack of memory that the daemon did not see"
            how = unseen if state["ExitCode"] == KILLED else "failed"
            self._lost = f"the container {how} (exit code {state['ExitCode']})"
        return bool(state["OOMKilled"])

    async def _why_not_ready(self) -> BackendUnavailable:
        assert self._attachment is not None
        words = self._attachment.last_words[-500:]
        try:
            state = await self._engine.state(self.name, CAUSE_PATIENCE)
        except BackendUnavailable as error:
            return error
        if state is not None and state["OOMKilled"]:
            return BackendUnavailable("A container ran out of memory at its start.", "Raise `limits.memory`.")
        return BackendUnavailable(f"A container died at its start: {words or state}.", "The daemon's log may say more.")
