"""What dies is replaced, and nothing stays behind."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable, Job, Limits, Project, WorkerLost
from airlock.testing import RecordingRun
from airlock_local import run_directory
from airlock_local.backend import LocalBackend, LocalSettings

pytestmark = pytest.mark.anyio

SOON = 30.0
KINDS = ("box", "zygote", "inits", "slot", "script")


def zygote_of(local: Any) -> int:
    """The only child of the box's waiting process."""
    return children(local.backend._box._process.pid)[0]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def begun(run: Any) -> None:
    async with asyncio.timeout(SOON):
        await run.until(lambda run: run.stdout)


async def test_a_killed_zygote_fails_what_ran_in_it_and_nothing_else(make_local: Any) -> None:
    local = await make_local(replicas=2)
    running, run = local.start("import time\nprint(1)\ntime.sleep(60)")
    await begun(run)
    os.kill(zygote_of(local), signal.SIGKILL)
    assert (await running).error_type == "worker_lost"
    async with asyncio.timeout(SOON):
        assert await local.result("set_result('recovered')") == "recovered"


async def test_executions_that_wait_are_served_by_the_next_box(local: Any) -> None:
    os.kill(zygote_of(local), signal.SIGSTOP)  # so that the one standby there is has no successor
    running, run = local.start("import time\nprint(1)\ntime.sleep(60)")
    await begun(run)
    waiting = [local.start(f"set_result({n})")[0] for n in range(4)]
    await asyncio.sleep(0.05)
    os.kill(zygote_of(local), signal.SIGKILL)
    async with asyncio.timeout(SOON):
        assert [(await task).result for task in waiting] == [0, 1, 2, 3]
    assert (await running).error_type == "worker_lost"


async def test_idle_standbys_that_died_are_replaced_before_they_are_needed(make_local: Any) -> None:
    local = await make_local(replicas=2)
    os.kill(zygote_of(local), signal.SIGKILL)
    await asyncio.sleep(0.05)
    async with asyncio.timeout(SOON):
        while local.backend.pool().idle < 2 or not local.backend._box.is_alive:
            await asyncio.sleep(0.01)
    assert await local.result("set_result(1)") == 1


async def test_a_stopped_zygote_is_replaced(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airlock_local.slot.START_TIMEOUT", 0.3)
    os.kill(zygote_of(local), signal.SIGSTOP)
    assert await local.result("set_result('the standby was there')") == "the standby was there"
    async with asyncio.timeout(SOON):
        assert await local.result("set_result('recovered')") == "recovered"


async def test_a_killed_init_is_a_lost_worker(local: Any) -> None:
    running, run = local.start("import time\nprint(1)\ntime.sleep(60)")
    await begun(run)
    zygote = zygote_of(local)
    maker, *_ = children(zygote)
    for init in children(maker):
        os.kill(init, signal.SIGKILL)
    assert (await running).error_type == "worker_lost"
    await asyncio.sleep(0.1)  # the idle one dies as well
    assert await local.result("set_result('next')") == "next"


async def test_its_processes_have_short_names_and_show_no_source(local: Any) -> None:
    box = local.backend._box._process.pid
    zygote = zygote_of(local)
    inits, slot = children(zygote)
    (script,) = children(slot)
    shown = {kind: Path(f"/proc/{pid}") for kind, pid in zip(KINDS, (box, zygote, inits, slot, script), strict=True)}
    for kind, process in shown.items():
        title = "zygote" if kind in ("slot", "script") else kind  # a fork of the zygote
        assert process.joinpath("cmdline").read_bytes().rstrip(b"\0") == f"airlock: {title} test".encode()
        assert process.joinpath("comm").read_text() == f"airlock-{kind}\n"
    code = "import subprocess, sys\nset_result(subprocess.check_output([sys.executable, '-c', 'print(1)']).decode())"
    assert await local.result(code) == "1\n"


async def test_a_removed_temporary_directory_is_made_again(make_local: Any, caplog: pytest.LogCaptureFixture) -> None:
    local = await make_local(cpus=1)
    before = local.backend._directory.path
    shutil.rmtree(before)
    assert await local.result("set_result('the box does not need it')") == "the box does not need it"
    os.kill(zygote_of(local), signal.SIGKILL)
    async with asyncio.timeout(SOON):
        while local.backend._directory.path == before:
            await asyncio.sleep(0.01)
        assert await local.result("set_result('the next one does')") == "the next one does"
    assert f"{before} was removed and is created again" in caplog.text
    made = local.backend._directory.path
    await local.backend.close()
    assert not made.exists()


async def test_without_a_temporary_folder_the_remedy_is_told(
    local: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    shutil.rmtree(local.backend._directory.path)
    os.kill(zygote_of(local), signal.SIGKILL)
    async with asyncio.timeout(SOON):
        while "TMPDIR" not in (local.backend.pool().detail or ""):
            await asyncio.sleep(0.01)
    (tmp_path / "gone").mkdir()
    async with asyncio.timeout(SOON):
        assert await local.result("set_result('again')") == "again"


async def test_cleaners_of_temporary_folders_see_that_it_is_in_use(local: Any) -> None:
    directory = os.open(local.backend._directory.path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(directory)


async def test_close_leaves_nothing(sandboxed: Any) -> None:
    processes, descriptors = sandboxed(), _descriptors()
    backend = LocalBackend(Project(name="test", limits=Limits(cpus=1)), LocalSettings())
    await backend.scale(2)
    assert backend._directory is not None
    own = backend._directory.name  # another Airlock may come and go on this machine meanwhile
    assert _traces(own)
    for code in (
        "print(1)",
        "1 / 0",
        "import os; os._exit(1)",
        "while True: pass",
        "x = [0] * 10 ** 9",
        "import os; os.fork()",
    ):
        task = asyncio.create_task(backend.execute(Job(id="x", code=code, timeout=60), RecordingRun()))
        await asyncio.wait({task}, timeout=0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await backend.close()
    assert (sandboxed(), _descriptors(), _traces(own)) == (processes, descriptors, [])


async def test_a_close_while_something_runs_ends_it(sandboxed: Any) -> None:
    processes = sandboxed()
    backend = LocalBackend(Project(name="test"), LocalSettings())
    await backend.scale(1)
    running = asyncio.create_task(backend.execute(Job(id="x", code="while True: pass", timeout=60), RecordingRun()))
    await asyncio.sleep(0.1)
    await backend.close()
    assert (await running).error_type == "worker_lost"
    assert sandboxed() == processes


SERVER = """
import asyncio, sys
from airlock import Job, Project
from airlock.testing import RecordingRun
from airlock_local.backend import LocalBackend, LocalSettings
class Run(RecordingRun):
    def write(self, stream, data): print(data.decode(), end="", flush=True)
async def main():
    backend = LocalBackend(Project(name="x"), LocalSettings())
    await backend.scale(2)
    print(backend._directory.path, flush=True)
    await backend.execute(Job(id="x", code="import time; print('begun'); time.sleep(600)", timeout=600), Run())
asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another server, with an execution in it, and a temporary folder that this test shares with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    with process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        assert process.stdout.readline() == "begun\n"
        yield process, directory
        process.kill()
        process.wait()
    sweep_until_gone(directory, [])


def test_a_killed_server_takes_all_sandboxes_with_it(server: Any, descendants: Any) -> None:
    process, _ = server
    tree = descendants(process.pid)
    assert len(tree) > 5
    process.kill()
    process.wait()
    for _ in range(200):
        left = [pid for pid in tree if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)]
        if not left:
            break
        signal.sigtimedwait([], 0.02)
    assert left == []


def sweep_until_gone(directory: Path, groups: list[Path]) -> None:
    """Its processes may take a moment to die."""
    for _ in range(200):
        run_directory.sweep()
        if not directory.exists() and not any(group.exists() for group in groups):
            return
        signal.sigtimedwait([], 0.02)
    pytest.fail(f"still there: {directory} or {groups}")


def test_what_a_killed_server_left_is_swept_and_what_a_living_one_uses_is_not(server: Any) -> None:
    process, directory = server
    places = [Path(place) for place in json.loads((directory / "lock").read_text())]
    groups = [place for place in places if place.exists()]
    run_directory.sweep()
    assert directory.exists()
    assert all(group.exists() for group in groups)
    process.kill()
    process.wait()
    sweep_until_gone(directory, groups)


def test_a_directory_that_only_looks_like_ours_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "airlock-local-link").symlink_to(precious)
    (tmp_path / "airlock-local-new").mkdir()
    run_directory.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airlock-local-link", "airlock-local-new", "precious"]


async def test_a_zygote_that_dies_at_once_again_and_again_is_not_restarted_in_a_loop(local: Any) -> None:
    os.kill(zygote_of(local), signal.SIGKILL)

    async def start_until_it_is_noticed() -> None:
        while True:
            with contextlib.suppress(WorkerLost):
                await (await local.backend.start_worker()).stop()

    with pytest.raises(BackendUnavailable, match="died as soon as it was up"):
        await start_until_it_is_noticed()


def _descriptors() -> list[str]:
    return sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}"))


def _traces(name: str) -> list[str]:
    found = [str(path) for path in Path(tempfile.gettempdir()).glob(name)]
    # Not rglob: that fails when a directory of somebody else, a container's say, goes meanwhile.
    found += [f"{folder}/{name}" for folder, inside, _ in os.walk("/sys/fs/cgroup") if name in inside]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
