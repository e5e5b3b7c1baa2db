"""What this sandbox holds in its own way: its tree of files, its networks, its uids. The rest is in test_attacks.py."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airlock import Project
from airlock.sandbox import surroundings
from airlock_local.backend import LocalBackend, LocalSettings

pytestmark = pytest.mark.anyio

HOST_FOLDERS = ("root", "home", "run", "var", "boot", "mnt", "opt")

# --- files -------------------------------------------------------------------------------------------------------


async def test_host_files_do_not_exist(local: Any) -> None:
    paths = ["/etc/shadow", "/etc/machine-id", "/etc/fstab", *(f"/{name}" for name in HOST_FOLDERS)]
    code = """
import json, os
def look(path):
    try: return sorted(os.listdir(path)) if os.path.isdir(path) else [str(os.stat(path))]
    except OSError: return []
set_result({path: found for path in json.loads(settings.get("paths")) if (found := look(path))})
"""
    # The way to an interpreter that lies elsewhere is there, and nothing else.
    way = Path(sys.base_prefix)
    expected = {path: [way.relative_to(path).parts[0]] for path in paths if Path(path) in way.parents}
    assert await local.result(code, settings={"paths": json.dumps(paths)}) == expected


async def test_nothing_in_etc_is_the_hosts_but_where_commands_lead(local: Any) -> None:
    """What stands there is the same on every machine; `ld.so.cache` names libraries of /usr."""
    code = """
import json, os
def look(path):
    return os.readlink(path) if os.path.islink(path) else open(path, encoding="utf-8").read()
found = [os.path.join(folder, name) for folder, _, names in os.walk("/etc") for name in names]
found.remove("/etc/ld.so.cache")
set_result({path: look(path) for path in found})
"""
    found = await local.result(code)
    links = {path: found.pop(path) for path in [*found] if path.startswith("/etc/alternatives/")}
    assert all(target.startswith("/usr/") and os.readlink(path) == target for path, target in links.items())
    assert found.pop("/etc/localtime") == "/usr/share/zoneinfo/Etc/UTC"
    assert found.pop("/etc/os-release") == "/usr/lib/os-release"
    assert found.pop("/etc/mtab") == "/proc/self/mounts"
    assert await local.result("import socket; set_result(socket.gethostbyname('localhost'))") == "127.0.0.1"
    assert found == {path: text for path, text in surroundings([1000], None).items() if path.startswith("/etc/")}


async def test_commands_that_are_links_through_etc_work(local: Any) -> None:
    commands = [str(path) for path in Path("/usr/bin").iterdir() if path.is_symlink() and path.exists()]
    commands = [path for path in commands if os.readlink(path).startswith("/etc/alternatives/")]
    code = "import json, os; set_result([p for p in json.loads(settings.get('paths')) if not os.path.exists(p)])"
    # Two lead on to a folder of /etc or /var with the settings of one installation.
    gone = await local.result(code, settings={"paths": json.dumps(commands)})
    assert [path for path in gone if Path(path).resolve().is_relative_to("/usr")] == []


async def test_memory_of_the_machine_is_that_of_the_limit(make_local: Any) -> None:
    local = await make_local(memory="96MiB")
    code = "import os; set_result([[line.split()[:2] for line in open('/proc/meminfo')], os.listdir('/sys')])"
    lines, folders = await local.result(code)
    assert {*folders} == {"devices", "fs", "meminfo"}
    found = dict(lines)
    assert found["MemTotal:"] == found["MemAvailable:"] == str(96 << 10)
    assert found["SwapTotal:"] == "0"


async def test_packages_of_the_system_cannot_be_found(local: Any) -> None:
    code = """
import glob, sys
prefixes = {"/usr", "/usr/local", sys.base_prefix}
set_result([path for prefix in prefixes for path in glob.glob(f"{prefix}/lib*/python*/*-packages/*")])
"""
    assert await local.result(code) == []


async def test_the_folder_that_the_server_works_in_is_empty_even_within_usr(
    make_local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/usr/share/doc")
    local = await make_local()
    assert await local.result(
        "import os; set_result([os.listdir('/usr/share/doc'), 'os.py' in os.listdir(os.path.dirname(os.__file__))])"
    ) == [[], True]


async def test_the_old_root_cannot_be_reached_by_going_up(local: Any) -> None:
    code = "import os\nos.chdir('/')\nfor _ in range(50): os.chdir('..')\nset_result(sorted(os.listdir('.')))"
    assert set(await local.result(code)) <= {
        "bin", "dev", "env", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "site", "sys", "tmp", "usr",
        "workspace",
        # the way to an interpreter that lies elsewhere
        Path(sys.base_prefix).parts[1],
    }  # fmt: skip


async def test_devices_are_the_five_that_are_needed_and_terminals(local: Any) -> None:
    names = {"fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
    assert set(await local.result("import os; set_result(os.listdir('/dev'))")) == names


# --- what executions share ---------------------------------------------------------------------------------------


async def test_two_executions_draw_different_random_numbers(make_local: Any) -> None:
    local = await make_local(preload=("random",))
    code = "import random; set_result(random.random())"
    assert len({await local.result(code) for _ in range(5)}) == 5


async def test_a_network_is_used_again_but_only_when_nothing_is_left_in_it(make_local: Any) -> None:
    """A socket that is in flight to itself lives on until the kernel looks for such sockets."""
    local = await make_local(replicas=1)
    leave = """
import os, socket
left = socket.socket(socket.AF_UNIX)
left.bind("\\0left")
one, other = socket.socketpair()
socket.send_fds(one, [b"x"], [left.fileno(), one.fileno(), other.fileno()])
set_result(os.readlink("/proc/self/ns/net"))
"""
    look = "import os; set_result([os.readlink('/proc/self/ns/net'), len(open('/proc/net/unix').readlines())])"
    networks = set()
    for _ in range(20):
        networks.add(await local.result(leave))
        await local.settle()
        network, lines = await local.result(look)
        networks.add(network)
        assert lines == 1
        await local.settle()
    assert len(networks) < 30


# --- users -------------------------------------------------------------------------------------------------------


async def test_a_script_is_one_user_inside_and_may_not_have_more_processes(local: Any) -> None:
    code = """
import os, resource
try: resource.setrlimit(resource.RLIMIT_NPROC, (4096, 4096))
except (ValueError, OSError): set_result(os.getresuid())
"""
    assert await local.result(code) == [1000, 1000, 1000]


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="as ordinary user, scripts are that user outside the sandbox")


@as_root
async def test_root_is_nobody_outside_the_sandbox(local: Any, descendants: Any) -> None:
    task, run = local.start("import os, time\nprint(1)\ntime.sleep(30)")
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout)
    await local.settle()  # a standby that is being made has not taken its uid yet
    box = local.backend._box._process.pid
    ids = [_ids(pid) for pid in (box, *descendants(box))]
    assert len(ids) == 9  # the box, its zygote, the maker of inits; init, template and script, twice
    assert all(64_111 <= number < 64_111 + 1024 for uids in ids for number in uids)
    task.cancel()


@as_root
async def test_executions_at_once_have_different_uids_outside_and_none_is_the_zygotes(
    make_local: Any, descendants: Any
) -> None:
    local = await make_local(replicas=3)
    tasks = []
    for _ in range(3):
        task, run = local.start("import os, time\nos.fork()\nprint(1)\ntime.sleep(30)")
        async with asyncio.timeout(5):
            await run.until(lambda run: run.stdout)
        tasks.append(task)
    await local.settle()
    scripts = _scripts(descendants(local.backend._box._process.pid))
    uids = [_ids(pid) for pid in scripts]
    assert len(uids) == 6  # three that run, three that stand by
    assert all(len(own) == 1 for own in uids)  # real, effective, saved and filesystem id of user and group
    assert len({*map(tuple, uids)}) == 6
    assert [64_111] not in uids
    for task in tasks:
        task.cancel()


@as_root
async def test_the_kernel_lets_no_script_signal_or_trace_another_by_their_uids(
    make_local: Any, descendants: Any
) -> None:
    """From outside, with the uid of one script and no rights, as a script would be that broke out of all else."""
    local = await make_local(replicas=2)
    for _ in range(2):
        _, run = local.start("import time\nprint(1)\ntime.sleep(30)")
        async with asyncio.timeout(5):
            await run.until(lambda run: run.stdout)
    one, other = _scripts(descendants(local.backend._box._process.pid))[:2]
    own = _ids(one)[0]
    code = f"""
import ctypes, errno, os
os.setgroups([]); os.setresgid({own}, {own}, {own}); os.setresuid({own}, {own}, {own})
def attempt(what):
    try: what()
    except OSError as error: return error.errno
    return 0
def attach(pid):
    if libc.ptrace(16, pid, 0, 0) < 0: raise OSError(ctypes.get_errno(), "")
libc = ctypes.CDLL(None, use_errno=True)
print(attempt(lambda: os.kill({one}, 0)), attempt(lambda: os.kill({other}, 0)), attempt(lambda: attach({other})))
"""
    done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["0", "1", "1"]  # its own: allowed; the neighbour's: EPERM


@as_root
async def test_the_uids_are_those_that_the_operator_chose(descendants: Any) -> None:
    backend = LocalBackend(Project(name="test"), LocalSettings(first_uid=50_000))
    await backend.scale(2)
    assert backend._box is not None
    assert backend._box._process is not None
    box = backend._box._process.pid
    ids = [_ids(pid) for pid in (box, *descendants(box))]
    assert len({number for own in ids for number in own}) == 3  # the zygote, and two scripts
    assert all(50_000 <= number < 51_024 for own in ids for number in own)
    assert "50001 to 51023" in backend.isolation  # the first is the zygote's
    await backend.close()


def _ids(pid: int) -> list[int]:
    """All user and group ids of a process, each once."""
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sorted({int(number) for line in lines if line[:1] in (["Uid:"], ["Gid:"]) for number in line[1:]})


def _scripts(pids: list[int]) -> list[int]:
    """Which of these are scripts' own processes: children of a template."""
    return [pid for pid in pids if _comm(pid) == "airlock-script" and _comm(_status(pid, "PPid")[0]) == "airlock-slot"]


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _status(pid: int, name: str) -> list[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [*map(int, next(line for line in lines if line.startswith(f"{name}:")).split()[1:])]
