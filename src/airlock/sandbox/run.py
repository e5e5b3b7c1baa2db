"""One execution in a sandbox: its conversation, the limits that are told on stderr, and the true cause of its end."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from airlock.units import format_size
from airlock.worker.one_script import CPU_SLACK

from .conversation import Conversation
from .pauses import Pauses
from .place import LastWords
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airlock.backends import Job, Limits, Outcome, Run, Stream

    from .counters import Counters

MAY_BE_A_LIMIT: Final = ("script_error", "worker_lost", "protocol")  # that a limit of the sandbox may have caused
NO_MEMORY: Final = "OSError: [Errno 12]"  # what mmap says where the kernel bounds each process by itself


class SandboxRun:
    """One execution in one sandbox, whatever that is and whatever carries the bytes.

    A `Worker.run` makes one, awaits `started`, and awaits `outcome`. Meanwhile it hands everything that arrives from
    the sandbox to `feed`, and calls `exited` when the script's process is gone:

        sandbox_run = SandboxRun(job, run, limits, send, cores=2, counters=counters)
        await sandbox_run.started()
        return await sandbox_run.outcome(end)
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        limits: Limits,
        send: Callable[[bytes], int | None],
        *,
        cores: int,
        counters: Counters | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`send` is that of `Conversation`. `cores` is how many CPU cores the script can keep busy at once.

        `watch` is the pool's; without one it has its own, and many that wait cost more.

        Without `counters` CPU time in pauses is not bounded, a process that was killed for lack of memory and refused
        processes are not told, locks of files are not counted, and causes are found by less.
        """
        self._job = job
        self._run = run
        self._limits = limits
        self._cores = cores
        self._counters = counters
        self._watch = Watch() if watch is None else watch
        self._conversation = Conversation(job, run, limits, send)
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._pauses: Pauses | None = None
        self.exit_code: int | None = None  # of the script's process, as far as it is known
        self._is_death = False  # what ended it is that its process was gone
        self._last_words: LastWords | None = None
        self.named: set[str] = set()
        """The limits whose line is on stderr. Add those that the sandbox itself has named."""

    @property
    def said_end(self) -> bool:
        """Whether the script's main code has finished; otherwise it was ended, or ended itself."""
        return self._conversation.said_end

    @property
    def is_settled(self) -> bool:
        """Whether it is known how the script ended, so that nothing more needs to be fed."""
        return self._conversation.ended.done()

    @property
    def is_paused(self) -> bool:
        """Whether the script waits for an answer, as far as its CPU time is counted then."""
        return self._pauses is not None and self._pauses.is_paused

    async def started(self) -> None:
        """Tell core that the script begins, and watch its pauses. Call `exited(None)` if the sandbox died meanwhile."""
        await self._run.started()
        self._began = self._loop.time()
        if self._counters is not None and self._counters.counts_cpu_time:
            self._pauses = Pauses(self._run, self._job.timeout, self._cores, self._counters, self._watch, self.end)

    async def outcome(
        self, end: Callable[[], Awaitable[None]], killed_for_memory: Callable[[], Awaitable[bool]] | None = None
    ) -> Outcome:
        """Hand the job over; returns how the script ended, with the limit behind that if there is one.

        `end` is awaited once, also when this is cancelled: it kills what may still run, unless `said_end`, and returns
        when all output was given to `run.write`. `killed_for_memory` is asked about a death that the counters do not
        explain, where somebody else may know.
        """
        try:
            return await self._outcome(end, killed_for_memory)
        except asyncio.CancelledError:
            result, updates, _ = self._conversation.reported()
            self._run.keep(result, updates)
            raise

    async def _outcome(
        self, end: Callable[[], Awaitable[None]], killed_for_memory: Callable[[], Awaitable[bool]] | None
    ) -> Outcome:
        if self._counters is not None:
            self._watch.locks.add(self._counters, self.end)
        try:
            outcome = await self._settled(end)
        except asyncio.CancelledError:  # core has a cause of its own, such as the timeout
            self._tell_of_killed_processes()
            raise
        finally:
            if self._counters is not None:
                self._watch.locks.discard(self._counters)
            if self._pauses is not None:
                self._pauses.stop()
            if self._refused_forks():
                self.name_limit("processes")
            if self._is_death and self.exit_code == -signal.SIGXFSZ:
                self.name_limit("file_size")
            await self._conversation.close()
        if outcome.error_type in MAY_BE_A_LIMIT:
            error_type, error = await self._limit_reached(outcome, killed_for_memory)
            outcome = replace(outcome, error=error, error_type=error_type)
        if outcome.error_type != "memory_limit":
            self._tell_of_killed_processes()
        return outcome

    def feed(self, data: bytes) -> None:
        """Take what the worker sent, in pieces of any size. Never raises: a violation ends it as `protocol`."""
        self._conversation.feed(data)

    def exited(self, code: int | None) -> None:
        """Say that the script's process is gone: its exit code, negative for a signal, None if unknown.

        The code must come from who saw the process end, by a way that the script has no hold of.
        """
        if self.exit_code is None:
            self.exit_code = code
        self._is_death = self._is_death or not self.is_settled
        self._conversation.exited(code)

    def write(self, stream: Stream, data: bytes) -> None:
        """Take output of the script, for `run.write`."""
        if self._last_words is not None and stream == "stderr":
            self._last_words.feed(data)
        else:
            self._run.write(stream, data)

    def ask_for_place(self) -> bool:
        """Say that the script is about to be killed: what it writes to stderr may be where it is.

        For a sandbox that called `tell_on_signal` of `airlock.worker.one_script` inside. If this returns True, it sends
        SIGNAL to the script's process, waits for its death, PATIENCE at most, and kills it. All output has to go to
        `write`.
        """
        self._last_words = LastWords(lambda data: self._run.write("stderr", data))
        return self._is_ended_anywhere

    def end(self, error_type: str, error: str) -> None:
        """End it for a cause that the backend knows, unless it is settled already."""
        self._conversation.end(error_type, error)

    def name_limit(self, key: str) -> None:
        """Say on stderr that the script ran into this limit, once."""
        if key not in self.named:
            self.named.add(key)
            self._run.write("stderr", f"{self._limits.reached(key)}\n".encode())

    async def _settled(self, end: Callable[[], Awaitable[None]]) -> Outcome:
        try:
            if not self.is_settled:
                self._conversation.start()
            return await self._conversation.ended
        finally:
            if self._counters is not None and not self.said_end:
                self._counters.look()
            is_anywhere = self._is_ended_anywhere
            try:
                await end()
            finally:
                self._tell_place(is_wanted=is_anywhere)

    @property
    def _is_ended_anywhere(self) -> bool:
        """Whether something ends it that has nothing to do with what it is doing, such as a timeout."""
        ended = self._conversation.ended
        return not ended.done() or ended.cancelled() or ended.result().error_type == "cpu_limit"

    def _tell_place(self, *, is_wanted: bool) -> None:
        if self._last_words is not None:
            words, self._last_words = self._last_words, None
            place = words.finish()
            if is_wanted and place is not None:
                self._run.note(f"it was at {place}")

    async def _limit_reached(
        self, outcome: Outcome, killed_for_memory: Callable[[], Awaitable[bool]] | None
    ) -> tuple[str | None, str | None]:
        """Return `error_type` and `error`, of the limit behind an end that looks like any other if there is one.

        The kernel kills for lack of memory with SIGKILL, the script's process or the sandbox around it. Whatever else
        ended the script, such as an exception after the death of a child, was its own doing.
        """
        was_refused = not self._counts_memory and (outcome.error or "").startswith(NO_MEMORY)
        if was_refused:
            return self._over_memory()
        died_by = self.exit_code if self._is_death else 0
        looks_like_memory = outcome.error_type == "worker_lost" or died_by == -signal.SIGKILL
        if looks_like_memory and (self._oom_kills() or (killed_for_memory and await killed_for_memory())):
            return self._over_memory()
        most = self._job.timeout * self._cores + CPU_SLACK
        is_over_time = self._cpu_time() >= most - 1  # otherwise it sent the signal to itself
        if died_by in (-signal.SIGXCPU, -signal.SIGKILL) and is_over_time:
            error = f"the script used more CPU time than its timeout of {self._job.timeout} s allows (limits.timeout)"
            return "cpu_limit", error
        return outcome.error_type, outcome.error

    def _tell_of_killed_processes(self) -> None:
        """Say that memory was short where that is not the cause: a pool may wait forever for a process that died."""
        if self._oom_kills():
            self.name_limit("memory")
            limit = format_size(self._limits.memory)
            self._run.note(f"the kernel killed a process of the script for lack of memory (limits.memory is {limit})")

    def _over_memory(self) -> tuple[str, str]:
        limit = format_size(self._limits.memory)
        return "memory_limit", f"the script used more than its memory (limits.memory is {limit})"

    def _cpu_time(self) -> float:
        """Return the CPU seconds that the script used at most."""
        counted = 0.0 if self._counters is None else self._counters.cpu_time()
        return counted or (self._loop.time() - self._began) * self._cores  # also in pauses

    @property
    def _counts_memory(self) -> bool:
        return self._counters is not None and self._counters.counts_memory

    def _oom_kills(self) -> int:
        return 0 if self._counters is None else self._counters.oom_kills()

    def _refused_forks(self) -> int:
        return 0 if self._counters is None else self._counters.refused_forks()
