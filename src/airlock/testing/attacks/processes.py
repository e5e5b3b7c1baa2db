"""Processes that a script looks for, and those that it leaves behind."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import pytest

from airlock.models import LLMRequest
from airlock.testing.backend.capabilities import needs

from .arena import Arena
from .canaries import Pool


@pytest.mark.anyio
class Processes(Arena):
    """A script sees only its own processes, cannot harm its supervisor, and leaves no process behind."""

    async def test_only_the_scripts_own_processes_exist(self, pool: Pool) -> None:
        async with self.beside(pool, "import time\nprint(1)\ntime.sleep(60)"):
            code = "import os; set_result([[p for p in os.listdir('/proc') if p.isdigit()], str(os.getpid())])"
            found, own = await pool.result(code)
            assert found == ["1", own]
            assert await self.attempt(pool, f"os.kill({os.getpid()}, 0)") == "ESRCH"

    @needs("guards_supervisor")
    async def test_pid_1_cannot_be_killed(self, pool: Pool) -> None:
        code = """
import os
for number in set(range(1, 65)) - {32, 33}:
    try: os.kill(1, number)
    except OSError: pass
set_result("alive")
"""
        assert await pool.result(code) == "alive"

    @needs("guards_supervisor")
    async def test_pid_1_cannot_be_limited(self, pool: Pool) -> None:
        """The kernel kills a process that has no CPU time left."""
        assert await self.attempt(pool, "__import__('resource').prlimit(1, 0, (0, 0))") == "EPERM"

    @needs("filters_calls")
    async def test_there_is_no_handle_on_the_process_at_the_other_end_of_the_frames(self, pool: Pool) -> None:
        frames = "socket.socket(fileno=os.dup(3))"
        tries = [f"{frames}.getsockopt(1, 77, 4)", f"{frames}.setsockopt(1, 76, 1)"]  # SO_PEERPIDFD, SO_PASSPIDFD
        assert await self.attempts(pool, *tries) == dict.fromkeys(tries, "ENOPROTOOPT")

    @needs("guards_supervisor")
    async def test_pid_1_cannot_be_looked_at(self, pool: Pool) -> None:
        code = """
import os
readable = []
for name in ("mem", "environ", "maps", "root", "fd", "fd/0", "fd/1", "fd/3", "cwd"):
    path = f"/proc/1/{name}"
    try: os.listdir(path) if os.path.isdir(path) else open(path, "rb")
    except OSError: continue
    readable.append(name)
set_result(readable)
"""
        assert await pool.result(code) == []

    async def test_no_descriptor_of_others_is_open(self, pool: Pool) -> None:
        code = """
import os
paths = {fd: f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
set_result({fd: os.readlink(path).split(":")[0] for fd, path in paths.items() if os.path.lexists(path)})
"""
        assert await pool.result(code) == {"0": "/dev/null", "1": "pipe", "2": "pipe", "3": "socket"}

    async def test_the_frame_socket_is_not_inherited_by_programs(self, pool: Pool) -> None:
        code = """
import subprocess
look = ["sh", "-c", "cd /proc/self/fd; echo *"]
set_result(subprocess.run(look, capture_output=True, text=True, close_fds=False).stdout.split())
"""
        assert await pool.result(code) == ["0", "1", "2", "3"]  # 3 is the directory, opened by the shell

    async def test_orphans_are_buried(self, pool: Pool) -> None:
        code = """
import os, time
for _ in range(200):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
for _ in range(100):
    left = [p for p in os.listdir("/proc") if p.isdigit()]
    if len(left) == 2: break
    time.sleep(0.02)
set_result(len(left))
"""
        assert await pool.result(code) == 2

    @needs("seen_by_host")
    async def test_nothing_that_was_started_outlives_its_execution(self, pool: Pool) -> None:
        token = f"60{secrets.randbits(40)}"
        code = f"""
import os
for daemon in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execlp("sleep", "sleep", "{token}")
        os._exit(0)
llm.complete("look")
"""
        seen = 0

        async def look(_: LLMRequest) -> str:
            nonlocal seen
            seen = len(await asleep(token, 3, self.patience))
            return "seen"

        assert (await pool.run(code, answer=look)).error is None
        assert seen == 3
        async with asyncio.timeout(self.soon):
            while sleepers(token):  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


async def asleep(token: str, count: int, seconds: float) -> list[int]:
    """Return the processes that sleep for `token` seconds, once there are so many: a new one has no name at first.

    Raises TimeoutError.
    """
    async with asyncio.timeout(seconds):
        while len(found := sleepers(token)) < count:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    return found


def sleepers(token: str) -> list[int]:
    """Return the processes of the machine that sleep for `token` seconds."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
            except OSError:
                continue  # it has ended
            if token in command:
                found.append(int(entry.name))
    return found
