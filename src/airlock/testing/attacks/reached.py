"""Limits that only cause an OSError in a script: stderr names the limit, once, and only if it was reached."""

from __future__ import annotations

import asyncio

import pytest

from airlock.sandbox import NO_TERMINALS
from airlock.testing.backend.capabilities import needs
from airlock.testing.running import Ran

from .arena import Arena
from .canaries import Pool

FORK = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
"""
FORK_AND_CATCH = """
import os, time
try:
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(60)
except OSError:
    set_result("caught")
"""
LARGE_FILE = "open('/tmp/x', 'wb').write(b'x' * (3 << 20))"
LARGE_FILE_AND_CATCH = f"try:\n    {LARGE_FILE}\nexcept OSError:\n    set_result('caught')"
FILL = "for n in range(10): open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20))"
CLEAN_UP = "shutil.rmtree('/tmp', ignore_errors=True)"
WRAPPED = f"import shutil\ntry:\n    {FILL}\nexcept OSError as e:\n    {CLEAN_UP}\n    raise ValueError('no') from e"

REACHING_PROCESSES = {
    FORK: "processes (20)",
    "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()": "processes (20)",
    "import subprocess\nwhile True: subprocess.Popen(['sleep', '60'])": "processes (20)",
}
REACHING_INODES = {"for n in range(100_000): open(f'/tmp/{n}', 'w').close()": "scratch (4MiB)"}
REACHING = {
    "import os\nwhile True: os.dup(1)": "files (64)",
    "try:\n    import os\n    while True: os.dup(1)\nexcept OSError:\n    set_result('caught')": "files (64)",
    "kept = []\nwhile True: kept.append(open('/dev/null'))": "files (64)",
    LARGE_FILE: "file_size (2MiB)",
    LARGE_FILE_AND_CATCH: "file_size (2MiB)",
    f"for n in range(100):\n    try: {LARGE_FILE}\n    except OSError: pass": "file_size (2MiB)",
    f"{LARGE_FILE_AND_CATCH}\nimport os; os._exit(0)": "file_size (2MiB)",
    f"import threading\nthread = threading.Thread(target=lambda: {LARGE_FILE})\nthread.start(); thread.join()": (
        "file_size (2MiB)"
    ),
    FILL: "scratch (4MiB)",
    f"try:\n    {FILL}\nexcept OSError:\n    set_result('caught')": "scratch (4MiB)",
    f"import shutil\ntry:\n    {FILL}\nfinally:\n    {CLEAN_UP}": "scratch (4MiB)",
    FILL.replace("/tmp", "/dev/shm"): "scratch (4MiB)",  # noqa: S108 - in the sandbox
    WRAPPED: "scratch (4MiB)",
}
WITHIN = (
    "print(1)",
    "import subprocess\nfor _ in range(30): subprocess.run(['true'])",
    "for _ in range(300): open('/dev/null').close()",
    "open('/tmp/x', 'wb').write(b'x' * (2 << 20))",
    "open('/tmp/x', 'wb').write(b'x' * (2 << 20)); open('/dev/shm/x', 'wb').write(b'x' * (1 << 20))",
    "import os\nread, write = os.pipe()\nos.set_blocking(read, False)\nos.read(read, 1)",
    "raise RuntimeError('no reason')",
    "raise OSError('no errno')",
    "import os\nos.fstat(999)",
    "import os\nos.close(1); os.close(2)\n1 / 0",
)


def said(ran: Ran) -> list[str]:
    """Return the lines that Airlock wrote to stderr."""
    return [line for line in ran.stderr.splitlines() if line.startswith("airlock: ")]


@pytest.mark.anyio
class ReachedLimits(Arena):
    """Readers of stderr learn which key of airlock.yaml set the limit."""

    async def test_stderr_names_the_limit_that_was_reached_once(self, small: Pool) -> None:
        reaching = {**REACHING}
        reaching |= REACHING_PROCESSES if "counts_processes" in self.capabilities else {}
        reaching |= REACHING_INODES if "counts_inodes" in self.capabilities else {}
        expected = {code: [f"airlock: limits.{limit} was reached"] for code, limit in reaching.items()}
        runs = await self.run_all(small, expected)
        assert {code: said(ran) for code, ran in runs.items()} == expected

    async def test_a_script_within_its_limits_hears_nothing_of_them(self, small: Pool) -> None:
        runs = await self.run_all(small, WITHIN)
        assert {code: said(ran) for code, ran in runs.items()} == {code: [] for code in WITHIN}

    async def test_a_limit_that_a_child_reached_is_not_said_twice(self, small: Pool) -> None:
        fork = "import os\npid = os.fork()\n"
        code = f"{fork}try:\n    {LARGE_FILE}\nfinally:\n    pid or os._exit(0)\n    os.waitpid(pid, 0)"
        assert said(await small.run(code)) == ["airlock: limits.file_size (2MiB) was reached"]

    async def test_death_by_the_signal_of_the_limit_names_it(self, small: Pool) -> None:
        ran = await small.run(f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n{LARGE_FILE}")
        assert ran.error == "the script was killed by SIGXFSZ"
        assert ran.stderr == "airlock: limits.file_size (2MiB) was reached\n"

    @needs("seen_by_host")
    async def test_a_script_without_terminals_left_does_not_hear_of_a_full_disk(self, small: Pool) -> None:
        """Both are ENOSPC."""
        ran = await small.run("import os\nkept = []\nwhile True: kept.append(os.openpty())")
        assert said(ran) == [NO_TERMINALS]

    @needs("counts_refusals")
    async def test_refused_processes_are_named_also_where_the_script_catches_it(self, small: Pool) -> None:
        assert said(await small.run(FORK_AND_CATCH)) == ["airlock: limits.processes (20) was reached"]

    @needs("counts_refusals")
    async def test_the_line_is_there_when_the_script_is_ended_from_outside(self, small: Pool) -> None:
        task, run = small.start(f"{FORK_AND_CATCH}\nprint('full')\ntime.sleep(60)")
        async with asyncio.timeout(self.patience):
            await run.until(lambda run: run.stdout)
        task.cancel()
        await asyncio.wait({task}, timeout=self.patience)
        assert run.stderr.endswith("airlock: limits.processes (20) was reached\n")  # before it: where the script was

    @needs("counts_processes")
    async def test_a_limit_that_one_execution_reached_is_not_said_of_the_next(self, small: Pool) -> None:
        assert "limits.processes" in (await small.run(FORK)).stderr
        for _ in range(4):
            assert (await small.run("import os\nif os.fork() == 0: os._exit(0)")).stderr == ""
