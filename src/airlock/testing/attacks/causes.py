"""Scripts that end in a way that looks like a limit, and scripts that go on after one was reached."""

from __future__ import annotations

import asyncio

import pytest

from airlock.sandbox import seccomp
from airlock.testing.backend.capabilities import needs

from .arena import TRY, Arena, Pools
from .canaries import Pool
from .reached import said

ITSELF = "import os, signal, sys\n"
OWN_DOING = {
    **{
        f"os.kill(os.getpid(), signal.{name})": f"the script was killed by {name}"
        for name in ("SIGKILL", "SIGXCPU", "SIGSYS", "SIGSEGV", "SIGALRM", "SIGBUS")
    },
    "os.abort()": "the script was killed by SIGABRT",
    "os._exit(9)": "the script ended with exit code 9",
    "os._exit(137)": "the script ended with exit code 137",
    "sys.exit(137)": "SystemExit: 137",
    "sys.exit('out of memory')": "SystemExit: out of memory",
    "try: bytearray(1 << 60)\nexcept MemoryError: raise ValueError('no')": "ValueError: no",
    "try: bytearray(1 << 60)\nexcept MemoryError: os._exit(3)": "the script ended with exit code 3",
}
FILE_SIZE_SIGNALS = (
    "os.kill(os.getpid(), signal.SIGXFSZ)",
    "os.kill(0, signal.SIGXFSZ)",
    "signal.raise_signal(signal.SIGXFSZ)",
    "signal.pthread_kill(threading.get_ident(), signal.SIGXFSZ)",
    "signal.pidfd_send_signal(os.pidfd_open(os.getpid()), signal.SIGXFSZ)",
    "fcntl.fcntl(os.pipe()[0], fcntl.F_SETSIG, signal.SIGXFSZ)",
    "call({prctl}, 1, signal.SIGXFSZ, 0, 0, 0)",  # PR_SET_PDEATHSIG
    "call({clone}, signal.SIGXFSZ, 0, 0, 0, 0) or os._exit(0)",  # the signal that its end sends
    "os.fork() or os.kill(os.getppid(), signal.SIGXFSZ)",
)
CHILD = """
import os, signal, subprocess, sys
killed = subprocess.run([sys.executable, "-c", "x = bytearray(400 << 20)"]).returncode
"""
AFTER_A_CHILD = {
    "raise ValueError(killed)": "ValueError: -9",
    "sys.exit(killed != 0)": "SystemExit: 1",
    "os._exit(137)": "the script ended with exit code 137",
    "os.kill(os.getpid(), signal.SIGSEGV)": "the script was killed by SIGSEGV",
    "set_result(1j)": "TypeError: set_result",
}
EXECUTOR = """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1) as executor:
    executor.submit(bytearray, 400 << 20).result()
"""
WAITS_FOREVER = """
import multiprocessing
with multiprocessing.Pool(1) as pool:
    worker = pool._pool[0]
    result = pool.apply_async(bytearray, (400 << 20,))
    worker.join()
    print("dead")
    result.get()
"""
LINE = ["airlock: limits.memory (64MiB) was reached"]
NOTE = ["the kernel killed a process of the script for lack of memory (limits.memory is 64MiB)"]


@pytest.mark.anyio
class TrueCauses(Arena):
    """What is reported is what happened: never a limit that was not reached, always one that was."""

    async def test_what_a_script_does_to_itself_is_blamed_on_no_limit(self, pool: Pool) -> None:
        expected: dict[str, tuple[str, str, list[str]]] = {
            ITSELF + code: ("script_error", error, []) for code, error in OWN_DOING.items()
        }
        runs = await self.run_all(pool, expected)
        assert {code: (ran.error_type, ran.error, said(ran)) for code, ran in runs.items()} == expected

    async def test_a_memory_error_that_the_script_handles_is_no_limit(self, pool: Pool) -> None:
        ran = await pool.run("try: bytearray(1 << 60)\nexcept MemoryError: set_result('less')")
        assert (ran.result, ran.stderr, ran.run.notes) == ("less", "", [])

    @needs("filters_calls")
    async def test_a_script_cannot_say_that_it_reached_the_largest_size_of_a_file(self, small: Pool) -> None:
        numbers = {name: seccomp.system_call(name) for name in ("prctl", "clone")}
        for action in ("", "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"):
            before = f"{TRY}\nimport fcntl, signal, threading, time\n{action}"
            codes = [before + call.format(**numbers) for call in FILE_SIZE_SIGNALS]
            codes[-1] += "\nos.wait()"
            runs = await self.run_all(small, codes)
            for ran in runs.values():
                assert "limits.file_size" not in ran.stderr
                assert "PermissionError" in ran.stderr or "[Errno 38]" in ran.stderr  # gVisor has no pidfds to signal

    @needs("together")
    async def test_a_script_that_survives_its_childs_death_by_memory_completes(self, pools: Pools) -> None:
        pool = await pools.get(memory="64MiB")
        ran = await pool.run(f"{CHILD}set_result(killed)")
        assert (ran.result, said(ran)) == (-9, LINE)

    @needs("together")
    async def test_what_a_script_does_after_its_childs_death_by_memory_is_its_own(self, pools: Pools) -> None:
        pool = await pools.get(memory="64MiB")
        for code, error in AFTER_A_CHILD.items():
            ran = await pool.run(CHILD + code)
            assert ran.error_type == "script_error"
            assert (ran.error or "").startswith(error)
            assert (said(ran), ran.run.notes) == (LINE, NOTE)
        assert "BrokenProcessPool" in ((ran := await pool.run(EXECUTOR)).error or "")
        assert (ran.error_type, said(ran), ran.run.notes) == ("script_error", LINE, NOTE)

    @needs("together")
    async def test_a_script_that_waits_for_a_child_killed_for_memory_learns_that(self, pools: Pools) -> None:
        pool = await pools.get(memory="64MiB")
        task, run = pool.start(WAITS_FOREVER)
        async with asyncio.timeout(self.patience):
            await run.until(lambda run: run.stdout)
        task.cancel()  # as core does when the timeout is over
        await asyncio.wait({task}, timeout=self.patience)
        assert task.cancelled()
        assert LINE[0] in run.stderr.splitlines()
        assert NOTE[0] in run.notes  # beside the place, where the sandbox tells that
