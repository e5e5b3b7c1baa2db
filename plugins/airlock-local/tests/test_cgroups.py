"""Control groups of version 2, which production machines have: tests that need its controllers skip without them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock import Limits
from airlock.testing import missing
from airlock_local import cgroups, hierarchies
from airlock_local.cgroups import Groups
from airlock_local.hierarchies import MOUNT, SERVER, Base

SPIN = """
import os
child = os.fork()
while os.times().user < 0.2: pass
if child: os.waitpid(child, 0)
"""
TOO_MUCH = "x = bytearray(200 << 20)"
FORK = """
import os, time
for _ in range(40):
    if os.fork() == 0: time.sleep(1); break
"""

NAME = f"airlock-local-test-{os.getpid()}"  # tests run in several processes


@pytest.fixture
def bare_groups() -> Iterator[Groups]:
    """Groups without a controller, which version 2 has beside version 1 as well."""
    mount = next((path for path in (MOUNT / "unified", MOUNT) if (path / "cgroup.procs").exists()), None)
    if mount is None or os.geteuid() != 0:
        missing("cgroup2", "no cgroup v2 hierarchy in which this user may make groups")
    directory = mount / NAME
    directory.mkdir()
    groups = Groups([Base(directory, frozenset(), 2)], Limits())
    yield groups
    assert groups.close()


def test_version_2_counts_the_cpu_time_of_all_processes_of_a_group(bare_groups: Groups) -> None:
    group = bare_groups.take()
    before = group.counters.cpu_time()
    run_in(group, SPIN)
    used = group.counters.cpu_time() - before
    assert 0.4 <= used < 5
    group.give_back(empty=True)


def test_a_hierarchy_without_a_wanted_controller_is_left_as_it_was(bare_groups: Groups) -> None:
    mount = bare_groups._bases[0].directory.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hierarchies, "MOUNT", mount)
        assert list(hierarchies.bases("airlock-local-none", ["no-such-controller"])) == []
    assert not (mount / "airlock-local-none").exists()


@pytest.fixture
def controllers() -> None:
    """Version 2 with its controllers, and root to share them out."""
    file = MOUNT / "cgroup.controllers"
    found = set(file.read_text().split()) if file.exists() else set()
    if os.geteuid() != 0 or not {"cpu", "memory", "pids"} <= found or not os.access(MOUNT, os.W_OK):
        missing("cgroup2", "no cgroup v2 with controllers (version 1 holds them?), or no root to share them out")


@pytest.fixture
def groups(controllers: None) -> Iterator[Groups]:
    groups = cgroups.find(NAME, Limits(memory=32 << 20, processes=7, cpus=0.5))
    assert groups is not None
    yield groups
    for _ in range(100):
        if groups.close():
            break
        time.sleep(0.02)
    assert not groups._bases[0].directory.exists()


def run_in(group: cgroups.Group, code: str) -> int:
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, preexec_fn=lambda: os.write(group.joins[0], b"0"), stderr=-3, check=False).returncode


def test_a_group_has_the_limits_and_all_of_a_pools_together_a_quarter_of_the_usual_weight(groups: Groups) -> None:
    base = groups._bases[0]
    assert (base.version, groups.describe()) == (2, "cgroup v2 (cpu, memory, pids)")
    groups.take().give_back(empty=True)
    assert read(base.directory / "cpu.weight") == "25"
    assert read(base.directory / "1/memory.max") == str(32 << 20)
    assert read(base.directory / "1/pids.max") == "7"
    assert read(base.directory / "1/cpu.max") == "50000 100000"


def test_a_group_in_which_the_kernel_killed_is_not_used_again(groups: Groups) -> None:
    group = groups.take()
    assert run_in(group, TOO_MUCH) == -signal.SIGKILL
    assert group.counters.oom_kills()
    group.give_back(empty=True)
    other = groups.take()
    assert other is not group
    other.give_back(empty=True)


def test_refused_processes_are_counted_and_an_empty_group_is_used_again(groups: Groups) -> None:
    group = groups.take()
    assert run_in(group, FORK) == 1
    assert (group.counters.refused_forks(), group.counters.oom_kills()) == (1, 0)
    assert group.has_processes()
    while group.has_processes():
        time.sleep(0.02)
    run_in(group, FORK)
    while group.has_processes():
        time.sleep(0.02)
    group.give_back(empty=True)
    assert groups.take() is group
    assert not group.counters.refused_forks()
    group.give_back(empty=True)


def test_a_group_that_was_throttled_has_a_tenth_of_a_core_and_is_not_used_again(groups: Groups) -> None:
    group = groups.take()
    group.throttle()
    assert read(groups._bases[0].directory / "1/cpu.max") == "1000 10000"
    group.give_back(empty=True)
    other = groups.take()
    assert other is not group
    other.give_back(empty=True)


# A server of its own: prints its isolation and how scripts end, then waits with one more script inside.
AIRLOCK = """
import asyncio, json, sys
from airlock import BackendUnavailable, Job, Limits, Project
from airlock.testing import RecordingRun
from airlock_local.backend import LocalBackend, LocalSettings

MEMORY = '''
import os, time
for _ in range(8):
    if (child := os.fork()) == 0: break
x = bytearray(20 << 20)
if child: os.waitstatus_to_exitcode(os.wait()[1]) and os._exit(1)
time.sleep(60)
'''
PROCESSES = "import os, time\\nfor _ in range(40):\\n    if os.fork() == 0: time.sleep(60)"

async def main():
    limits = Limits(memory=48 << 20, processes=20, cpus=0.9)
    backend = LocalBackend(Project(name="x", limits=limits), LocalSettings(isolation="reduced"))
    await backend.scale(1)
    said = {"isolation": backend.isolation}
    for name, code in {"memory": MEMORY, "processes": PROCESSES}.items() if "all" in sys.argv else []:
        run = RecordingRun()
        outcome = await backend.execute(Job(id="x", code=code, timeout=60), run)
        said[name] = [outcome.error_type, run.stderr.splitlines()[-1:]]
    print(json.dumps(said), flush=True)
    if "stay" in sys.argv:
        await backend.execute(Job(id="x", code="import time; time.sleep(60)", timeout=60), RecordingRun())
    await backend.close()

asyncio.run(main())
"""
INSIDE = f'umount -l {MOUNT} && mount -t cgroup2 none {MOUNT} && exec "$@"'
HELD = {
    "memory": ["memory_limit", []],
    "processes": ["script_error", ["airlock: limits.processes (20) was reached"]],
}


@pytest.fixture
def delegated(controllers: None) -> Iterator[Path]:
    """A group with all controllers, as systemd makes one for a unit with `Delegate=yes`."""
    (MOUNT / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    group = MOUNT / f"test-{os.getpid()}.scope"
    group.mkdir()
    os.setxattr(group, "user.delegate", b"1")
    yield group
    for _ in range(200):
        if all(hierarchies.try_rmdir(path) for path in (group / SERVER, group)):
            return
        time.sleep(0.02)
    pytest.fail(f"left in {group}: {os.listdir(group)}")


def start(group: Path | None, home: Path, become: Callable[[], None], *words: str) -> subprocess.Popen[str]:
    def enter() -> None:
        if group is not None:
            inner = group / SERVER  # where what is already in there starts others
            ((inner if inner.exists() else group) / "cgroup.procs").write_text("0")
        become()

    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", AIRLOCK, *words],
        preexec_fn=enter,  # noqa: PLW1509 - nothing here has threads
        env=environment,
        cwd=home,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(server: subprocess.Popen[str]) -> Any:
    assert server.stdout is not None
    return json.loads(server.stdout.readline())


@pytest.fixture(params=["root", "an ordinary user"])
def user(request: Any, become: Callable[[Path], None], tmp_path: Path) -> Callable[[], None]:
    return (lambda: become(tmp_path)) if request.param != "root" else (lambda: None)


def test_limits_hold_in_a_delegated_group_for_two_servers_and_after_one_was_killed(
    delegated: Path, user: Callable[[], None], tmp_path: Path, request: Any
) -> None:
    if "ordinary" in request.node.name:
        for path in (delegated, *(delegated / f"cgroup.{name}" for name in ("procs", "subtree_control", "threads"))):
            os.chown(path, 65_533, 65_533)
    first, second = (start(delegated, tmp_path, user, "all", "stay") for _ in range(2))
    with first, second:
        for server in (first, second):
            told = said(server)
            assert "cgroup v2 (cpu, memory, pids)" in told.pop("isolation")
            assert told == HELD
        assert read(delegated / "cgroup.procs") == ""
        assert set(read(delegated / SERVER / "cgroup.procs").split()) >= {str(first.pid), str(second.pid)}
        assert len(pools(delegated)) == 2
        first.kill()
        first.wait()
        second.kill()
    with start(delegated, tmp_path, user, "all") as third:
        assert said(third).pop("isolation")
    assert pools(delegated) == []


def test_in_a_container_with_a_cgroup_namespace_root_uses_the_containers_own_group(
    delegated: Path, tmp_path: Path
) -> None:
    os.removexattr(delegated, "user.delegate")  # no systemd that marks anything
    code = f"echo 0 > {delegated}/cgroup.procs && exec unshare --mount --cgroup sh -c '{INSIDE}' sh \"$@\""
    command = ["sh", "-c", code, "sh", sys.executable, "-c", AIRLOCK, "all"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    told = json.loads(done.stdout)
    assert "cgroup v2 (cpu, memory, pids)" in told.pop("isolation")
    assert told == HELD
    assert (delegated / SERVER).exists()


def test_without_a_delegated_group_an_ordinary_user_is_told_what_makes_one(
    controllers: None, become: Callable[[Path], None], tmp_path: Path
) -> None:
    with start(None, tmp_path, lambda: become(tmp_path)) as server:
        isolation = said(server)["isolation"]
    assert "no cgroup (none is delegated to this user, as `systemd-run --user" in isolation
    assert "memory and process limits are per process only; limits.cpus is not held" in isolation


def test_where_the_hierarchy_is_read_only_that_is_said(controllers: None, tmp_path: Path) -> None:
    code = f'mount --make-rprivate / && mount -o remount,bind,ro {MOUNT} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", code, "sh", sys.executable, "-c", AIRLOCK]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    assert f"no cgroup ({MOUNT} is read-only, as in most containers); memory and process" in done.stdout


def pools(group: Path) -> list[str]:
    return [path.name for path in group.iterdir() if path.is_dir() and path.name != SERVER]


def read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
