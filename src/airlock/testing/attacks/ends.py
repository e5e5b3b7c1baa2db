"""Scripts that do not end, or end in unusual ways."""

from __future__ import annotations

import asyncio

import pytest

from airlock.backends import Job, Stream
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import RecordingRun, never_answers

from .arena import Arena, Pools
from .canaries import Pool

ENDLESS = {
    "spins": "while True: pass",
    "sleeps": "time.sleep(600)",
    "ignores signals": "for n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\n"
    "while True: pass",
    "swallows exceptions": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "floods": "while True: print('x' * 10_000)",
    "forks": "while True:\n    try: os.fork()\n    except OSError: pass",
    "computes in C": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "is paused": "llm.complete('never answered')",
}
LEFT_OVERS = {
    "child": "subprocess.Popen(['sleep', '600'])",
    "fork": "os.fork() or time.sleep(600)",
    "daemon": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)",
    "flood": "if os.fork() == 0:\n    while True: os.write(1, bytes(65536))",
}
FORK_BOMB = "import os\nwhile True: os.fork()"
THREAD_BOMB = (
    "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
)


class Deaf(RecordingRun):
    """Discards all output."""

    def write(self, stream: Stream, data: bytes) -> None: ...


@pytest.mark.anyio
class Ends(Arena):
    """Every execution ends soon after it should, and says why."""

    @pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
    async def test_a_cancelled_execution_is_dead_at_once(self, pool: Pool, body: str) -> None:
        task, run = pool.start(f"import os, signal, time\nprint('begun')\n{body}", answer=never_answers)
        async with asyncio.timeout(self.patience):
            await run.until(lambda run: run.stdout)
        began = asyncio.get_running_loop().time()
        task.cancel()
        await asyncio.wait({task}, timeout=self.patience)
        assert task.cancelled()
        assert asyncio.get_running_loop().time() - began < self.soon
        assert run.stdout.startswith("begun\n")
        assert await pool.result("set_result('next')") == "next"

    async def test_output_right_before_a_crash_is_kept(self, pool: Pool) -> None:
        ran = await pool.run("import os\nprint('kept')\nos.abort()")
        assert (ran.stdout, ran.error) == ("kept\n", "the script was killed by SIGABRT")

    async def test_death_by_signal_names_the_signal(self, pool: Pool) -> None:
        names = ("SIGKILL", "SIGSEGV", "SIGTERM", "SIGALRM")
        kill = "import os, signal\nos.kill(os.getpid(), signal.{})\nwhile True: pass"
        runs = await self.run_all(pool, [kill.format(name) for name in names])
        for name, ran in zip(names, runs.values(), strict=True):
            assert ran.error_type == "script_error"
            assert name in (ran.error or "")

    async def test_a_crash_in_c_code_is_the_scripts_error(self, pool: Pool) -> None:
        ran = await pool.run("import ctypes\nctypes.string_at(1)")
        assert (ran.error_type, ran.error) == ("script_error", "the script was killed by SIGSEGV")

    async def test_endless_recursion_is_the_scripts_error(self, pool: Pool) -> None:
        ran = await pool.run("def f(): f()\nf()")
        assert ran.error_type == "script_error"
        assert "RecursionError" in (ran.error or "")

    async def test_execve_ends_like_what_was_executed(self, pool: Pool) -> None:
        ran = await pool.run("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo gone; exit 3'])")
        assert (ran.stdout, ran.error) == ("gone\n", "the script ended with exit code 3")

    @pytest.mark.parametrize("leave", LEFT_OVERS.values(), ids=LEFT_OVERS)
    async def test_a_descendant_that_keeps_stdout_open_does_not_hold_the_end_back(self, pool: Pool, leave: str) -> None:
        ran = await pool.run(f"import os, subprocess, time\n{leave}\nprint('over')\nset_result('over')")
        assert ran.result == "over"
        assert "over\n" in ran.stdout
        assert ran.seconds < self.soon

    async def test_bombs_end_with_an_error_and_the_next_execution_works(self, pool: Pool) -> None:
        for bomb in (FORK_BOMB, THREAD_BOMB):
            assert (await pool.run(bomb)).error is not None
            assert await pool.result("set_result(1)") == 1

    @needs("counts_processes")
    async def test_bombs_end_with_the_error_that_they_met(self, pool: Pool) -> None:
        ran = await pool.run(FORK_BOMB)
        assert ran.error_type == "script_error"
        assert "BlockingIOError" in ran.stderr
        ran = await pool.run(THREAD_BOMB)
        assert (ran.error_type, ran.error) == ("script_error", "RuntimeError: can't start new thread")

    async def test_a_flood_of_output_does_not_starve_others(self, pools: Pools) -> None:
        pool = await pools.get()
        job = Job(id="flood", code="import os\nwhile True: os.write(1, b'x' * 65536)", timeout=60)
        flood = asyncio.create_task(pool.backend.execute(job, Deaf()))
        slowest = 0.0
        for _ in range(5):
            slowest = max(slowest, (await pool.run("print(1)")).seconds)
        flood.cancel()
        await asyncio.wait({flood})
        assert slowest < self.soon

    async def test_large_output_arrives_whole_on_both_streams(self, pool: Pool) -> None:
        code = "import sys\nfor n in range(40): print('x' * 50_000); print('y' * 50_000, file=sys.stderr)"
        ran = await pool.run(code)
        assert (len(ran.stdout), len(ran.stderr)) == (40 * 50_001, 40 * 50_001)
