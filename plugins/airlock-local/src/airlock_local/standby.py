"""A standby, and then the execution in it, seen from the server."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from airlock import Worker, WorkerLost
from airlock.sandbox import SandboxRun
from airlock.worker import one_script
from airlock.worker.syscalls import ID

from . import diagnosis, processes
from .refusals import RefusalWatch
from .transport import FrameSocket, OutputPipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock import Job, Limits, Outcome, Run
    from airlock.sandbox import Watch

    from .box import Box
    from .slot import Slot
    from .slots import Slots

log = logging.getLogger(__name__)

KILL_TIMEOUT: Final = 1.0  # seconds that an execution waits for its death before it is reported anyway
PUMP_DELAY: Final = 0.001  # seconds; most scripts end before that, and need nobody to watch their output


class LocalWorker(Worker):
    """A slot for one execution, with the descriptors through which it talks. Made by `start`."""

    def __init__(
        self,
        box: Box,
        slots: Slots,
        slot: Slot,
        watch: Watch,
        limits: Limits,
        frames: FrameSocket,
        outputs: tuple[OutputPipe, OutputPipe],
        on_idle_death: Callable[[LocalWorker], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._box = box
        self._slots = slots
        self._slot = slot
        self._group = slot.group
        self._watch = watch
        self._limits = limits
        self._frames = frames
        self._outputs = outputs
        self._on_idle_death = on_idle_death
        self._run: SandboxRun | None = None
        self._is_released = False
        self._is_lost = False

    @classmethod
    async def start(
        cls, box: Box, slots: Slots, watch: Watch, limits: Limits, on_idle_death: Callable[[LocalWorker], None]
    ) -> LocalWorker:
        """Have a process stand ready, in a slot that is free or in a new one.

        Raises WorkerLost when the box dies meanwhile, BackendUnavailable when a layer of the sandbox is refused.
        """
        try:
            slot = await slots.take()
        except OSError as error:
            raise diagnosis.explain("server", error.errno, str(error)) from error
        try:
            with ExitStack() as undo:
                frames = FrameSocket()
                undo.callback(frames.close)
                owner = None if box.first_uid is None else box.first_uid + slot.identity.uid_offset
                stdout = OutputPipe("stdout", owner)
                undo.callback(stdout.close)
                stderr = OutputPipe("stderr", owner)
                undo.callback(stderr.close)
                worker = cls(box, slots, slot, watch, limits, frames, (stdout, stderr), on_idle_death)
                theirs = [frames.theirs.fileno(), stdout.theirs, stderr.theirs]
                slot.begin(theirs, worker._on_exit)
                undo.pop_all()
        except BaseException as error:
            await slot.stop()
            if isinstance(error, OSError):
                raise diagnosis.explain("server", error.errno, str(error)) from error
            raise
        frames.theirs.close()
        for output in worker._outputs:
            output.close_theirs()
        frames.watch(worker._on_frames)
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

        try:
            return await sandbox_run.outcome(end)
        finally:
            if sandbox_run.said_end and self._slot.is_reused:
                self._is_released = True
                self._slots.release(self._slot)

    @property
    def uid_in_box(self) -> int:
        """Whom the script is, seen from its box."""
        return ID + self._slot.identity.uid_offset

    def is_in_its_cgroup(self) -> bool:
        """Whether the idle standby is where its limits are, if it has a cgroup at all."""
        return self._group is None or self._group.has_processes()

    async def stop(self) -> None:
        """Kill what is left, and give everything back."""
        self._frames.close()
        self._run = None  # it knows us: a cycle would keep its output until the garbage collector comes
        for output in self._outputs:
            output.close()
        if not self._is_released:
            await self._slot.stop()

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
        slot = self._slot
        if asks_for_place and slot.init >= 0:
            slot.ask_for_place()
            if await slot.has_exited(one_script.PATIENCE):
                return
        if slot.init < 0:
            return  # `stop` did it
        processes.kill(slot.init)
        if not await processes.wait_dead(slot.init, KILL_TIMEOUT):
            log.warning("a sandbox takes longer than %g s to die", KILL_TIMEOUT)
