"""A standby, and then the execution in it, seen from the server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from airlock import Worker, WorkerLost
from airlock.sandbox import FrameReader, SandboxRun
from airlock.worker import codec, one_script
from airlock.worker.syscalls import ID

from . import diagnosis, processes
from .refusals import RefusalWatch
from .transport import FrameSocket, OutputPipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock import Job, Limits, Outcome, Run
    from airlock.sandbox import Watch

    from .box import Box
    from .cgroups import Group, Groups
    from .identities import Identity

log = logging.getLogger(__name__)

START_TIMEOUT: Final = 10.0  # seconds
KILL_TIMEOUT: Final = 1.0  # seconds that an execution waits for its death before it is reported anyway
STOP_TIMEOUT: Final = 10.0
PUMP_DELAY: Final = 0.001  # seconds; most scripts end before that, and need nobody to watch their output
MAX_READY: Final = 1 << 16


class LocalWorker(Worker):
    """Init and script process of one execution, and what the server holds of them. Made by `start`."""

    def __init__(
        self,
        box: Box,
        watch: Watch,
        limits: Limits,
        frames: FrameSocket,
        outputs: tuple[OutputPipe, OutputPipe],
        group: Group | None,
        identity: Identity,
        on_idle_death: Callable[[LocalWorker], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._box = box
        self._watch = watch
        self._limits = limits
        self._frames = frames
        self._outputs = outputs
        self._group = group
        self._identity = identity
        self._on_idle_death = on_idle_death
        self._init = -1  # pidfd
        self._number = 0  # of the box's standbys
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._run: SandboxRun | None = None
        self._is_lost = False

    @classmethod
    async def start(
        cls,
        box: Box,
        groups: Groups | None,
        watch: Watch,
        limits: Limits,
        on_idle_death: Callable[[LocalWorker], None],
    ) -> LocalWorker:
        """Have the zygote fork a standby; returns when it stands ready.

        Raises WorkerLost when the box dies meanwhile, BackendUnavailable when a layer of the sandbox is refused.
        """
        identity = box.identities.take()
        owner = None if box.first_uid is None else box.first_uid + identity.uid_offset
        try:
            with ExitStack() as undo:
                undo.callback(box.identities.give_back, identity)
                frames = FrameSocket()
                undo.callback(frames.close)
                stdout = OutputPipe("stdout", owner)
                undo.callback(stdout.close)
                stderr = OutputPipe("stderr", owner)
                undo.callback(stderr.close)
                group = None if groups is None else groups.take()
                undo.pop_all()
        except OSError as error:
            raise diagnosis.explain("server", error.errno, str(error)) from error
        worker = cls(box, watch, limits, frames, (stdout, stderr), group, identity, on_idle_death)
        try:
            await worker._hand_over()
        except OSError as error:
            await worker.stop()
            raise diagnosis.explain("server", error.errno, str(error)) from error
        except BaseException:
            await worker.stop()
            raise
        return worker

    async def run(self, job: Job, run: Run) -> Outcome:
        """Run the job. Returns at once when the script's main code has finished; otherwise waits for its death."""
        if self._died() or not self._box.is_alive:
            raise WorkerLost("the standby died before its job came")
        counters = None if self._group is None else self._group.counters
        sandbox_run = SandboxRun(
            job,
            run,
            self._limits,
            self._frames.send,
            cores=self._box.cores,
            counters=counters,
            watch=self._watch,
        )
        await sandbox_run.started()
        self._run = sandbox_run
        if self._died():
            sandbox_run.exited(None)
        for output in self._outputs:
            output.connect(sandbox_run.write)
        pump = self._loop.call_later(PUMP_DELAY, self._watch_output)
        refusals = None if self._group is None else RefusalWatch(self._group, run, sandbox_run, self._watch)

        async def end() -> None:
            try:
                if not sandbox_run.said_end:
                    await self._kill(asks_for_place=sandbox_run.ask_for_place())
            finally:
                pump.cancel()
                if refusals is not None:
                    refusals.stop()
                self._frames.unwatch()
                for output in self._outputs:
                    output.finish()

        return await sandbox_run.outcome(end)

    @property
    def uid_in_box(self) -> int:
        """Whom the script is, seen from its box."""
        return ID + self._identity.uid_offset

    def is_in_its_cgroup(self) -> bool:
        """Whether the idle standby is where its limits are, if it has a cgroup at all."""
        return self._group is None or self._group.has_processes()

    async def stop(self) -> None:
        """Kill what is left, and give everything back."""
        self._box.forget(self._number)
        self._frames.close()
        self._run = None  # it knows us: a cycle would keep its output until the garbage collector comes
        dead = False
        if self._init >= 0:
            processes.kill(self._init)
            dead = await processes.wait_dead(self._init, STOP_TIMEOUT)
            os.close(self._init)
            self._init = -1
            if not dead:
                log.error("a sandbox does not die within %g s", STOP_TIMEOUT)
        for output in self._outputs:
            output.close()
        if dead:
            self._box.identities.give_back(self._identity)
        if self._group is not None:
            self._group.give_back(empty=dead)
            self._group = None

    async def _hand_over(self) -> None:
        joins = [] if self._group is None else self._group.joins
        try:
            self._number = self._box.make_standby(
                self._identity,
                [self._frames.theirs.fileno(), *(output.theirs for output in self._outputs), *joins],
                self._on_exit,
            )
        finally:
            self._frames.theirs.close()
            for output in self._outputs:
                output.close_theirs()
        self._frames.watch(self._on_ready)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._ready
        except TimeoutError:
            self._box.kill()  # its zygote hangs: nothing else gets it out of there
            raise WorkerLost(f"no standby within {START_TIMEOUT:g} s") from None
        self._frames.unwatch()
        self._frames.watch(self._on_frames)

    def _on_ready(self) -> None:
        if self._ready.done():
            return
        data, init = self._frames.receive_descriptor()
        if init >= 0:  # the zygote's message; the standby's comes next
            self._init = init
            return
        frames = list(FrameReader(MAX_READY).feed(data))  # no script ran yet: this is our own code's word
        if not frames or frames[0][0] != codec.READY:
            self._ready.set_exception(WorkerLost("the standby died at its start"))
        elif (failure := json.loads(frames[0][1])) is not None:
            self._ready.set_exception(diagnosis.explain(failure["step"], failure["errno"], failure["message"]))
        else:
            self._ready.set_result(None)

    def _on_frames(self) -> None:
        data = self._frames.receive()
        if data is None:
            return
        if self._run is None:  # a standby has nothing to say
            self._is_idly_lost()
        elif data:
            for output in self._outputs:
                output.hand_over()  # what the script wrote before the frame comes before it
            self._run.feed(data)
        else:
            self._frames.unwatch()  # the script shut it, or is gone: `_on_exit` is told

    def _on_exit(self, code: int | None) -> None:
        if not self._ready.done():
            while not self._ready.done():
                self._on_ready()  # it may have been ready, which it is no more
        if self._run is None:
            self._is_idly_lost()
            return
        while not self._run.is_settled and (data := self._frames.receive()):
            self._run.feed(data)
        self._frames.unwatch()
        self._run.exited(code)

    def _is_idly_lost(self) -> None:
        self._frames.unwatch()
        if not self._is_lost:
            self._is_lost = True
            self._on_idle_death(self)

    def _died(self) -> bool:
        """Look whether it died while idle, which may be news: a standby without a job has nothing to say."""
        return self._is_lost or self._frames.receive() is not None

    def _watch_output(self) -> None:
        for output in self._outputs:
            output.watch()

    async def _kill(self, *, asks_for_place: bool) -> None:
        """The one way to end an execution before it ends itself."""
        if self._init < 0:
            return  # `stop` did it
        if asks_for_place:
            self._box.ask_for_place(self._number)
            if await processes.wait_dead(
                self._init, one_script.PATIENCE
            ):  # the zygote kills it when the script is dead
                return
            if self._init < 0:
                return
        processes.kill(self._init)
        if not await processes.wait_dead(self._init, KILL_TIMEOUT):
            log.warning("a sandbox takes longer than %g s to die", KILL_TIMEOUT)
