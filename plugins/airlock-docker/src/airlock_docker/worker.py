"""One container, seen from the server: it stands ready for one execution, and is removed after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from typing import TYPE_CHECKING, Any, Final

from airlock import BackendUnavailable, Outcome, ProtocolViolation, Worker, WorkerLost
from airlock.sandbox import Conversation, FrameReader, PauseWatch, causes, pauses
from airlock.worker import codec

from .attachment import Attachment
from .inside.supervisor import EXIT_CODE, EXITED, FRAMES, READ_SIZE, STDERR, STDOUT

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from airlock import Job, Limits, Run

    from .engine import Engine
    from .groups import Group

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
        on_idle_death: Callable[[DockerWorker], None],
        on_left: Callable[[str], None],
    ) -> None:
        """`on_left` is told the name of a container that the daemon does not remove now."""
        self.name = name
        self.id = ""
        self.uid = uid  # of the script, inside and for the host
        self.group: Group | None = None  # where the daemon's control groups can be read
        self.landlock_version = 0
        self._engine = engine
        self._limits = limits
        self._cores = cores
        self._on_idle_death = on_idle_death
        self._on_left = on_left
        self._loop = asyncio.get_running_loop()
        self._records = FrameReader(READ_SIZE, ENDLESS)
        self._ready_frames = FrameReader(MAX_READY)
        self._ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._attachment: Attachment | None = None
        self._conversation: Conversation | None = None
        self._run: Run | None = None
        self._exit_code: int | None = None
        self._processes_reached = limits.reached("processes").encode()
        self._has_named_processes = False  # in the sandbox, which sees those errors only that nobody catches

    async def start(self, stream: socket.socket, time_limit: float) -> None:
        """Take over a container that was launched; returns when it stands ready.

        Raises BackendUnavailable when it does not get there. Call `stop` then, too.
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
            raise BackendUnavailable(
                f"preload: {ready['message']}.", "Correct `preload`, or add what it needs to `packages`."
            )
        if "failed" in ready:
            raise BackendUnavailable(
                f"The script's process could not be confined ({ready['failed']}: {ready['message']}).",
                "Nothing runs without it. Please report this with the output of `docker info`.",
            )
        self.landlock_version = ready["landlock"]

    async def run(self, job: Job, run: Run) -> Outcome:
        """Run the job. Returns at once when the script's main code is over; anything else waits for its death."""
        attachment = self._attachment
        if attachment is None or attachment.ended.done():
            raise WorkerLost("the container was gone before its job came")
        conversation = Conversation(job, run, self._limits, attachment.send)
        await run.started()
        pause_watch = self._watch_pauses(run, job.timeout)
        self._run, self._conversation = run, conversation
        began = self._loop.time()
        try:
            if attachment.ended.done():
                conversation.exited(None)
            else:
                conversation.start()
            outcome = await conversation.ended
            used = self._cpu_time_since(began) if causes.may_be_wrong(outcome) else 0.0
            self._name_refused_processes(run)
            is_out_of_memory = self.group is not None and self.group.has_killed_for_memory()
            if outcome.error is None and is_out_of_memory:  # a child was killed, say
                run.write("stderr", f"{self._limits.reached('memory')}\n".encode())
            if not conversation.said_end and self._exit_code is None:
                await self._kill(attachment)
        except asyncio.CancelledError:
            self._name_refused_processes(run)
            await self._kill(attachment)
            raise
        finally:
            if self._exit_code == -signal.SIGXFSZ:
                run.write("stderr", f"{self._limits.reached('file_size')}\n".encode())
            self._run = None
            if pause_watch is not None:
                pause_watch.stop()
            await conversation.close()
        return await self._true_cause(outcome, job, used, is_out_of_memory=is_out_of_memory)

    async def stop(self) -> None:
        """Kill what is left, and remove the container."""
        if self._attachment is not None:
            await self._end(self._attachment)
            self._attachment.close()  # first: an attached stream that nobody reads can block the kill (moby#41827)
        try:
            await self._engine.remove(self.name)
        except BackendUnavailable as error:
            log.warning("container %s is left for now: %s", self.name, error)
            self._on_left(self.name)

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
            if self._conversation is not None:
                self._conversation.end("protocol", f"protocol violation: {violation}")

    def _record(self, kind: int, body: bytes) -> None:
        if kind == STDERR and self._processes_reached in body:
            self._has_named_processes = True
        if kind in (STDOUT, STDERR):
            if self._run is not None:
                self._run.write("stdout" if kind == STDOUT else "stderr", body)
        elif kind == FRAMES:
            if self._conversation is not None:
                self._conversation.feed(body)
            else:
                self._on_ready(body)
        elif kind == EXITED and len(body) == EXIT_CODE.size:
            (self._exit_code,) = EXIT_CODE.unpack(body)
            if self._conversation is not None:
                self._conversation.exited(self._exit_code)
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
        elif self._conversation is not None:
            self._conversation.exited(None)
        else:
            self._on_idle_death(self)

    def _watch_pauses(self, run: Run, timeout: int) -> PauseWatch | None:
        def end() -> None:
            if self._conversation is not None:
                self._conversation.end("cpu_limit", pauses.over(timeout))

        if self.group is None:
            return None  # limit_cpu inside bounds at least each process
        return PauseWatch(run, timeout, self._cores, self.group.cpu_time, end)

    def _cpu_time_since(self, began: float) -> float:
        """Return the CPU seconds that a script used at most. Called before the container's end: its group goes too."""
        most = (self._loop.time() - began) * self._cores  # also in pauses
        return most if self.group is None else min(most, self.group.cpu_time() or most)

    def _name_refused_processes(self, run: Run) -> None:
        """Say on stderr what the script may have caught. Called before the container's end, when its group goes too."""
        if self.group is not None and not self._has_named_processes and self.group.has_refused_processes():
            run.write("stderr", self._processes_reached + b"\n")

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

    async def _true_cause(self, outcome: Outcome, job: Job, used: float, *, is_out_of_memory: bool) -> Outcome:
        """Name the limit, or the accident, behind a death that looks like any other."""
        if not causes.may_be_wrong(outcome):
            return outcome
        if is_out_of_memory:
            return causes.over_memory(self._limits)
        if outcome.error_type != "worker_lost" and self._exit_code != -signal.SIGKILL:
            return causes.over_cpu_time(self._exit_code, used, job.timeout, self._cores) or outcome
        try:
            state = await self._engine.state(self.name, CAUSE_PATIENCE)
        except BackendUnavailable as error:
            lost = f"the Docker daemon was lost while the script ran: {error.detail}"
            return Outcome(error=lost, error_type="worker_lost") if outcome.error_type == "worker_lost" else outcome
        if state is not None and state["OOMKilled"]:
            return causes.over_memory(self._limits)
        if outcome.error_type != "worker_lost":
            return causes.over_cpu_time(self._exit_code, used, job.timeout, self._cores) or outcome
        if state is None:
            return Outcome(error="the container was removed while the script ran", error_type="worker_lost")
        if state["Running"]:
            return Outcome(error="the connection to the container was lost", error_type="worker_lost")
        code = state["ExitCode"]
        how = "was killed from outside" if code == KILLED else "failed"
        return Outcome(error=f"the container {how} (exit code {code})", error_type="worker_lost")

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
