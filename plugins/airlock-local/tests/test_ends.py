"""Every execution ends, soon after it should, and says why."""

import asyncio
from typing import Any

import pytest

from airlock import Job, Stream
from airlock.testing import RecordingSession

pytestmark = pytest.mark.anyio


class Deaf(RecordingSession):
    """Keeps no output."""

    def write(self, stream: Stream, data: bytes) -> None:
        pass


async def never(request: object) -> str:
    await asyncio.sleep(600)
    return ""


SOON = 2.5  # seconds: ten times what is promised, for busy machines


async def cancelled(local: Any, code: str) -> tuple[float, Any]:
    """Run until the script has printed, then end it as core does at its deadline; returns how long that took."""
    task, session = local.start(code, answer=never)
    async with asyncio.timeout(10):
        await session.until(lambda session: session.stdout)
    loop = asyncio.get_running_loop()
    began = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return loop.time() - began, session


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "time.sleep(600)",
        "for n in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "while True: print('x' * 10_000)",
        "while True:\n    try: os.fork()\n    except OSError: pass",
        "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
        "llm.complete('never answered')",
    ],
    ids=["spin", "sleep", "ignored signals", "swallowed", "stopped", "flood", "forks", "regex", "paused"],
)
async def test_a_cancelled_execution_is_dead_at_once(local: Any, body: str) -> None:
    seconds, _ = await cancelled(local, f"import os, signal, time\nprint('begun')\n{body}")
    assert seconds < SOON
    assert await local.result("set_result('next')") == "next"


async def test_output_before_a_cancellation_is_kept(local: Any) -> None:
    _, session = await cancelled(local, "import time\nprint('kept')\ntime.sleep(600)")
    assert session.stdout == "kept\n"


async def test_output_right_before_a_crash_is_kept(local: Any) -> None:
    ran = await local.run("import os\nprint('kept')\nos.abort()")
    assert (ran.stdout, ran.error) == ("kept\n", "the script was killed by SIGABRT")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGINT", "SIGALRM"])
async def test_death_by_signal_names_the_signal(local: Any, name: str) -> None:
    ran = await local.run(f"import os, signal\nos.kill(os.getpid(), signal.{name})\nwhile True: pass")
    assert ran.error_type == "script_error"
    assert name in ran.error


async def test_a_crash_in_c_code_is_the_scripts_error(local: Any) -> None:
    ran = await local.run("import ctypes\nctypes.string_at(1)")
    assert (ran.error_type, ran.error) == ("script_error", "the script was killed by SIGSEGV")


async def test_endless_recursion_is_the_scripts_error(local: Any) -> None:
    ran = await local.run("def f(): f()\nf()")
    assert ran.error_type == "script_error"
    assert "RecursionError" in ran.error


async def test_execve_ends_like_what_was_executed(local: Any) -> None:
    ran = await local.run("import os\nos.execv('/bin/sh', ['sh', '-c', 'echo gone; exit 3'])")
    assert (ran.stdout, ran.error) == ("gone\n", "the script ended with exit code 3")


async def test_threads_daemons_and_atexit_do_not_hold_the_end_back(local: Any) -> None:
    ran = await local.run("""
import atexit, threading, time
class Late:
    def __del__(self): time.sleep(600)
late = Late()
atexit.register(time.sleep, 600)
threading.Thread(target=time.sleep, args=(600,)).start()
set_result("over")
""")
    assert ran.result == "over"
    assert ran.seconds < SOON


@pytest.mark.parametrize(
    "start",
    ["subprocess.Popen(['sleep', '600'])", "os.fork() or time.sleep(600)", "daemon()"],
    ids=["child", "fork", "daemon"],
)
async def test_a_descendant_that_keeps_stdout_open_does_not_hold_the_end_back(local: Any, start: str) -> None:
    ran = await local.run(f"""
import os, subprocess, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
{start}
print("over")
""")
    assert (ran.stdout, ran.error) == ("over\n", None)
    assert ran.seconds < SOON


async def test_nothing_that_was_started_outlives_its_execution(local: Any, sandboxed: Any) -> None:
    before = sandboxed()
    code = "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid(); time.sleep(600)"
    await local.run(code)
    async with asyncio.timeout(SOON):
        while sandboxed() > before:
            await asyncio.sleep(0.01)


async def test_a_fork_bomb_ends_with_an_error_and_the_next_execution_works(local: Any) -> None:
    ran = await local.run("import os\nwhile True: os.fork()")
    assert ran.error_type == "script_error"
    assert "BlockingIOError" in ran.stderr
    assert await local.result("set_result(1)") == 1


async def test_a_bomb_of_threads_ends_with_an_error(local: Any) -> None:
    ran = await local.run(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(600,)).start()"
    )
    assert (ran.error_type, ran.error) == ("script_error", "RuntimeError: can't start new thread")


async def test_a_flood_of_output_does_not_starve_others(make_local: Any) -> None:
    local = await make_local(replicas=2)
    code = "import os\nwhile True: os.write(1, b'x' * 65536)"
    flood = asyncio.create_task(local.backend.execute(Job(id="flood", code=code, timeout=60), Deaf()))
    slowest = max([(await local.run("print(1)")).seconds for _ in range(10)])
    flood.cancel()
    assert slowest < SOON


async def test_large_output_arrives_whole_on_both_streams(local: Any) -> None:
    code = "import sys\nfor n in range(40): print('x' * 50_000); print('y' * 50_000, file=sys.stderr)"
    ran = await local.run(code)
    assert (len(ran.stdout), len(ran.stderr)) == (40 * 50_001, 40 * 50_001)


async def test_a_pause_costs_no_cpu_limit(local: Any) -> None:
    async def slow(request: object) -> str:
        await asyncio.sleep(0.2)
        return "late"

    assert (await local.run("set_result(llm.complete('x'))", answer=slow, timeout=1)).result == "late"
