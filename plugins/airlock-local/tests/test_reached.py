"""Limits that give a script no more than an OSError: stderr names the limit, once, and never without reason."""

import asyncio
import os
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

needs_cgroup = pytest.mark.skipif(os.geteuid() != 0, reason="only a cgroup counts refusals")

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
THREADS = "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()"
SUBPROCESSES = "import subprocess\nwhile True: subprocess.Popen(['sleep', '60'])"
DESCRIPTORS = "import os\nwhile True: os.dup(1)"
DESCRIPTORS_AND_CATCH = "try:\n    import os\n    while True: os.dup(1)\nexcept OSError:\n    set_result('caught')"
MANY_FILES = "kept = []\nwhile True: kept.append(open('/dev/null'))"
LARGE_FILE = "open('/tmp/x', 'wb').write(b'x' * (3 << 20))"
LARGE_FILE_AND_CATCH = (
    "try:\n    open('/tmp/x', 'wb').write(b'x' * (3 << 20))\nexcept OSError:\n    set_result('caught')"
)
LARGE_FILE_OFTEN = (
    "for n in range(100):\n    try: open('/tmp/x', 'wb').write(b'x' * (3 << 20))\n    except OSError: pass"
)
LARGE_FILE_BEFORE_OS_EXIT = LARGE_FILE_AND_CATCH + "\nimport os; os._exit(0)"
LARGE_FILE_IN_A_THREAD = """
import threading
thread = threading.Thread(target=lambda: open('/tmp/x', 'wb').write(b'x' * (3 << 20)))
thread.start(); thread.join()
"""
FILL = "for n in range(10): open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20))"
FILL_AND_CATCH = f"try:\n    {FILL}\nexcept OSError:\n    set_result('caught')"
FILL_AND_CLEAN_UP = f"""
import shutil
try:
    {FILL}
finally:
    shutil.rmtree("/tmp", ignore_errors=True)
"""
FILL_SHARED_MEMORY = FILL.replace("/tmp", "/dev/shm")
INODES = "for n in range(100_000): open(f'/tmp/{n}', 'w').close()"
WRAPPED = f"""
import shutil
try:
    {FILL}
except OSError as error:
    shutil.rmtree("/tmp", ignore_errors=True)
    raise ValueError("cannot save") from error
"""


@pytest.mark.parametrize(
    ("code", "line"),
    [
        pytest.param(FORK, "processes (20)", id="fork"),
        pytest.param(FORK_AND_CATCH, "processes (20)", id="fork and catch", marks=needs_cgroup),
        pytest.param(THREADS, "processes (20)", id="threads"),
        pytest.param(SUBPROCESSES, "processes (20)", id="subprocesses"),
        pytest.param(DESCRIPTORS, "files (64)", id="descriptors"),
        pytest.param(DESCRIPTORS_AND_CATCH, "files (64)", id="descriptors and catch"),
        pytest.param(MANY_FILES, "files (64)", id="many files"),
        pytest.param(LARGE_FILE, "file_size (2MiB)", id="large file"),
        pytest.param(LARGE_FILE_AND_CATCH, "file_size (2MiB)", id="large file and catch"),
        pytest.param(LARGE_FILE_OFTEN, "file_size (2MiB)", id="large file often"),
        pytest.param(LARGE_FILE_BEFORE_OS_EXIT, "file_size (2MiB)", id="large file before os._exit"),
        pytest.param(LARGE_FILE_IN_A_THREAD, "file_size (2MiB)", id="large file in a thread"),
        pytest.param(FILL, "scratch (4MiB)", id="fill"),
        pytest.param(FILL_AND_CATCH, "scratch (4MiB)", id="fill and catch"),
        pytest.param(FILL_AND_CLEAN_UP, "scratch (4MiB)", id="fill and clean up"),
        pytest.param(FILL_SHARED_MEMORY, "scratch (4MiB)", id="shared memory"),
        pytest.param(INODES, "scratch (4MiB)", id="inodes"),
        pytest.param(WRAPPED, "scratch (4MiB)", id="wrapped"),
    ],
)
async def test_stderr_names_the_limit_that_was_reached_once(make_local: Any, code: str, line: str) -> None:
    local = await make_local(processes=20, files=64, file_size="2MiB", scratch="4MiB")
    ran = await local.run(code)
    said = [found for found in ran.stderr.splitlines() if found.startswith("airlock: ")]
    assert said == [f"airlock: limits.{line} was reached"], ran


@needs_cgroup
async def test_the_line_is_there_when_the_script_is_ended_from_outside(make_local: Any) -> None:
    local = await make_local(processes=20)
    task, session = local.start(f"{FORK_AND_CATCH}\nprint('full')\ntime.sleep(60)")
    async with asyncio.timeout(10):
        await session.until(lambda session: session.stdout)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.stderr == "airlock: limits.processes (20) was reached\n"


@needs_cgroup
async def test_a_limit_that_one_execution_reached_is_not_said_of_the_next(make_local: Any) -> None:
    local = await make_local(processes=20)
    assert "limits.processes" in (await local.run(FORK)).stderr
    for _ in range(4):
        assert (await local.run("import os\nif os.fork() == 0: os._exit(0)")).stderr == ""


async def test_death_by_the_signal_of_the_limit_names_it(make_local: Any) -> None:
    local = await make_local(file_size="2MiB")
    ran = await local.run(f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n{LARGE_FILE}")
    assert ran.error == "the script was killed by SIGXFSZ"
    assert ran.stderr == "airlock: limits.file_size (2MiB) was reached\n"


@pytest.mark.parametrize(
    "code",
    [
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
    ],
    ids=[
        "print", "subprocesses in turn", "files in turn", "file of the size", "scratch half full", "no data yet",
        "RuntimeError", "OSError", "EBADF", "closed",
    ],
)  # fmt: skip
async def test_a_script_within_its_limits_hears_nothing_of_them(make_local: Any, code: str) -> None:
    local = await make_local(processes=20, files=64, file_size="2MiB", scratch="4MiB")
    assert "airlock:" not in (await local.run(code)).stderr


async def test_a_limit_that_a_child_reached_is_not_said_twice(make_local: Any) -> None:
    local = await make_local(file_size="2MiB")
    code = (
        f"import os\npid = os.fork()\ntry:\n    {LARGE_FILE}\nfinally:\n    pid or os._exit(0)\n    os.waitpid(pid, 0)"
    )
    assert (await local.run(code)).stderr.count("airlock: limits.file_size (2MiB) was reached\n") == 1
