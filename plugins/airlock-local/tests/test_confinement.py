"""What a script tries to reach, and does not. By effect: a canary, a return code, a listener that hears nothing."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import airlock_local
from airlock import Project
from airlock_local.backend import LocalBackend, LocalSettings

pytestmark = pytest.mark.anyio

# What most tests below have in common: try something, and say the name of the error, or what was got.
TRY = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    value = libc.syscall(*arguments)
    if value < 0:
        raise OSError(ctypes.get_errno(), "")
    return value
def attempt(what):
    try:
        return repr(what())
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
"""


async def attempt(local: Any, expression: str, **job: Any) -> Any:
    return await local.result(f"{TRY}\nset_result(attempt(lambda: {expression}))", **job)


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/etc/shadow", "/etc/hostname", "/root", "/home", "/run", "/var", "/sys", "/boot", "/mnt", "/opt"],
)
async def test_host_files_do_not_exist(local: Any, path: str) -> None:
    interpreter = Path(sys.base_prefix)
    if Path(path) in interpreter.parents:  # then it is the way to the interpreter, and nothing else
        way = interpreter.relative_to(path).parts[0]
        assert await attempt(local, f"os.listdir({path!r})") == str([way])
        return
    assert await attempt(local, f"os.stat({path!r})") == "ENOENT"


async def test_a_file_in_the_hosts_tmp_does_not_exist(local: Any, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    assert await attempt(local, f"open({str(canary)!r}).read()") == "ENOENT"


@pytest.mark.parametrize(
    "path", [airlock_local.__file__, sys.prefix, pytest.__file__, os.getcwd()], ids=["source", "venv", "site", "cwd"]
)
async def test_the_servers_own_files_do_not_exist(local: Any, path: str) -> None:
    assert await attempt(local, f"os.stat({path!r})") == "ENOENT"


async def test_packages_of_the_server_and_of_the_system_cannot_be_imported_or_found(local: Any) -> None:
    code = """
import glob, importlib.util, sys
names = ["pydantic", "fastapi", "airlock", "airlock_local", "pip", "apt", "pytest"]
prefixes = {"/usr", "/usr/local", sys.base_prefix}
found = [path for prefix in prefixes for path in glob.glob(f"{prefix}/lib*/python*/*-packages/*")]
set_result([[n for n in names if importlib.util.find_spec(n)], found])
"""
    assert await local.result(code) == [[], []]


async def test_the_folder_that_the_server_works_in_is_empty_even_within_usr(
    make_local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/usr/share/doc")
    local = await make_local()
    assert await local.result(
        "import os; set_result([os.listdir('/usr/share/doc'), 'os.py' in os.listdir(os.path.dirname(os.__file__))])"
    ) == [[], True]


@pytest.mark.parametrize(
    "folder", ["/", "/usr", "/usr/lib", "/usr/bin", "/dev", "/etc", "/proc", os.path.dirname(os.__file__)]
)
async def test_nothing_can_be_written_outside_scratch(local: Any, folder: str) -> None:
    answer = await attempt(local, f"open({folder!r} + '/canary', 'w')")
    assert answer in ("EROFS", "EACCES", "EPERM", "ENOENT", "ENOSPC")
    assert answer != "ENOSPC" or folder == "/etc"


async def test_links_out_of_scratch_lead_nowhere(local: Any) -> None:
    assert await attempt(local, "(os.symlink('/etc/passwd', '/tmp/l'), open('/tmp/l').read())") == "ENOENT"
    assert await attempt(local, "(os.symlink('../../etc/passwd', 'l'), open('l').read())") == "ENOENT"
    assert await attempt(local, "open('/proc/1/root/etc/passwd').read()") in ("EACCES", "EPERM", "ENOENT")
    assert await attempt(local, "open('/proc/1/cwd/../etc/passwd').read()") in ("EACCES", "EPERM", "ENOENT")


async def test_the_old_root_cannot_be_reached_by_going_up(local: Any) -> None:
    code = "import os\nos.chdir('/')\nfor _ in range(50): os.chdir('..')\nset_result(sorted(os.listdir('.')))"
    assert set(await local.result(code)) <= {
        "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "site", "tmp", "usr",
        # the way to an interpreter that lies elsewhere
        Path(sys.base_prefix).parts[1],
    }  # fmt: skip


async def test_devices_are_the_harmless_ones_and_no_others_can_be_made(local: Any) -> None:
    code = "import os; set_result(sorted(os.listdir('/dev')))"
    allowed = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
    assert set(await local.result(code)) == allowed
    assert await attempt(local, "os.mknod('/tmp/d', 0o60666, os.makedev(254, 0))") in ("EPERM", "EACCES")


async def test_a_setuid_bit_raises_nobody(local: Any) -> None:
    code = (
        "import os, shutil\nshutil.copy('/bin/sh', '/tmp/sh'); os.chmod('/tmp/sh', 0o6755)\nset_result(os.getresuid())"
    )
    assert await local.result(code) == [1000, 1000, 1000]
    assert await attempt(local, "os.setuid(0)") in ("EPERM", "EINVAL")


# --- processes, environment, what is left behind -----------------------------------------------------------------


async def test_the_servers_environment_is_not_seen(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, glob
readable = [path for path in glob.glob("/proc/[0-9]*/environ") if os.access(path, os.R_OK)]
set_result([dict(os.environ), [open(path, "rb").read().decode() for path in readable]])
"""
    monkeypatch.setenv("CANARY_KEY", "secret")
    await local.backend.scale(0)
    await local.backend.scale(1)
    assert "PATH" in (seen := await local.result(code))[0]
    assert "CANARY" not in str(seen)
    assert "secret" not in str(seen)


async def test_only_the_scripts_own_processes_exist(make_local: Any) -> None:
    local = await make_local(replicas=3)
    neighbour, _ = local.start("import time; time.sleep(30)")
    assert await local.result("import os; set_result([p for p in os.listdir('/proc') if p.isdigit()])") == ["1", "2"]
    assert await attempt(local, f"os.kill({os.getpid()}, 0)") == "ESRCH"
    neighbour.cancel()


async def test_init_can_be_neither_killed_nor_read(local: Any) -> None:
    code = """
import os, signal
for number in set(range(1, 65)) - {32, 33}:
    try:
        os.kill(1, number)
    except OSError:
        pass
readable = []
for name in ("mem", "environ", "maps", "root", "fd/3", "cwd"):
    try:
        open(f"/proc/1/{name}", "rb")
        readable.append(name)
    except OSError:
        pass
set_result(readable)
"""
    assert await local.result(code) == []


async def test_nothing_of_a_former_execution_is_left(local: Any) -> None:
    await local.result("""
import json, os, sys, types
open("/tmp/canary", "w").write("x"); open("/dev/shm/canary", "w").write("x")
sys.modules["canary"] = types.ModuleType("canary"); json.canary = 1; os.environ["CANARY"] = "x"
import builtins; builtins.canary = 1
""")
    assert await local.result("""
import builtins, json, os, sys
set_result([os.listdir("/tmp"), os.listdir("/dev/shm"), "canary" in sys.modules, hasattr(json, "canary"),
            "CANARY" in os.environ, hasattr(builtins, "canary")])
""") == [[], [], False, False, False, False]


async def test_two_executions_draw_different_random_numbers(make_local: Any) -> None:
    local = await make_local(preload=("random",))
    code = "import random; set_result(random.random())"
    assert len({await local.result(code) for _ in range(5)}) == 5


async def test_system_v_ipc_is_not_shared(make_local: Any) -> None:
    local = await make_local(replicas=2)
    task, session = local.start(f"{TRY}\nimport time\nprint(libc.shmget(4711, 4096, 0o1666))\ntime.sleep(30)")
    async with asyncio.timeout(5):
        await session.until(lambda session: session.stdout)
    assert await local.result(f"{TRY}\nset_result(libc.shmget(4711, 4096, 0o666))") == -1
    task.cancel()


# --- network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
async def test_a_listener_on_the_hosts_loopback_is_not_reached(local: Any, family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.setblocking(False)
        port = listener.getsockname()[1]
        answer = await attempt(local, f"socket.create_connection(({host!r}, {port}), 2)")
        assert answer in ("ENETUNREACH", "EACCES", "EADDRNOTAVAIL", "ECONNREFUSED")
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "8.8.8.8"])
async def test_no_address_is_reached(local: Any, address: str) -> None:
    for kind in ("STREAM", "DGRAM"):
        expression = f"socket.socket(socket.AF_INET, socket.SOCK_{kind}).connect(({address!r}, 53))"
        assert await attempt(local, expression) in ("ENETUNREACH", "EACCES")


async def test_names_are_not_resolved(local: Any) -> None:
    code = "import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept socket.gaierror: set_result('refused')"
    assert await local.result(code) == "refused"


async def test_abstract_sockets_of_the_host_are_not_reached(local: Any) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0airlock-test-canary")
        listener.listen()
        answer = await attempt(local, "socket.socket(socket.AF_UNIX).connect('\\0airlock-test-canary')")
        assert answer in ("EPERM", "ECONNREFUSED")


async def test_abstract_sockets_of_neighbours_are_not_reached(make_local: Any) -> None:
    local = await make_local(replicas=2)
    task, session = local.start(
        "import socket, time\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0neighbour'); s.listen(); print(1)\n"
        "time.sleep(30)"
    )
    async with asyncio.timeout(5):
        await session.until(lambda session: session.stdout)
    answer = await attempt(local, "socket.socket(socket.AF_UNIX).connect('\\0neighbour')")
    assert answer in ("EPERM", "ECONNREFUSED")
    task.cancel()


async def test_names_of_neighbours_sockets_are_neither_seen_nor_taken(make_local: Any) -> None:
    local = await make_local(replicas=2)
    task, session = local.start(
        "import socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0neighbour'); print(1)\ntime.sleep(30)"
    )
    async with asyncio.timeout(5):
        await session.until(lambda session: session.stdout)
    assert "neighbour" not in await attempt(local, "open('/proc/net/unix').read()")
    assert await attempt(local, "socket.socket(socket.AF_UNIX).bind('\\0neighbour')") == "None"
    task.cancel()


async def test_counters_of_the_network_tell_nothing_of_other_executions(make_local: Any) -> None:
    local = await make_local(replicas=1)
    files = "[open('/proc/net/' + name).read() for name in ('dev', 'netstat', 'snmp', 'snmp6', 'sockstat')]"
    use = """
import socket
for family in socket.AF_INET, socket.AF_INET6, socket.AF_UNIX:
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        try: socket.socket(family, kind).connect(("10.0.0.1", 9))
        except (OSError, TypeError): pass
"""
    look = f"set_result({files})"
    fresh = await local.result(look)
    for _ in range(3):
        await local.run(use)
        await local.settle()
        assert await local.result(look) == fresh


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


@pytest.mark.parametrize(
    "family", ["AF_VSOCK", "AF_PACKET", "AF_NETLINK", "AF_ALG", "AF_BLUETOOTH", "AF_CAN", "AF_TIPC"]
)
async def test_socket_families_that_leave_the_sandbox_are_refused(local: Any, family: str) -> None:
    number = {"AF_BLUETOOTH": 31, "AF_TIPC": 30, "AF_ALG": 38, "AF_VSOCK": 40}.get(family) or getattr(socket, family)
    assert await attempt(local, f"socket.socket({int(number)}, socket.SOCK_DGRAM)") == "EAFNOSUPPORT"


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
async def test_sockets_that_lead_to_the_internet_are_refused_as_what_they_are(local: Any, family: str) -> None:
    for kind in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"):
        for call in ("socket", "socketpair"):
            assert await attempt(local, f"socket.{call}(socket.{family}, socket.{kind})") == "ENETUNREACH"


# --- the kernel --------------------------------------------------------------------------------------------------


async def test_there_are_no_capabilities_and_no_new_privileges(local: Any) -> None:
    code = """
lines = [line.rstrip() for line in open("/proc/self/status") if line.startswith(("Cap", "NoNew", "Seccomp:"))]
set_result(dict(line.split(":\\t") for line in lines))
"""
    status = await local.result(code)
    assert {int(value, 16) for name, value in status.items() if name.startswith("Cap")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


NUMBERS = {  # x86_64, aarch64
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "unshare": (272, 97),
    "setns": (308, 268),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "fsopen": (430, 430),
    "memfd_secret": (447, 447),
    "pidfd_getfd": (438, 438),
    "personality": (135, 92),
}


@pytest.mark.parametrize("name", NUMBERS)
async def test_a_system_call_is_refused(local: Any, name: str) -> None:
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    assert await attempt(local, f"call({number}, 0, 0, 0, 0, 0)") == "EPERM"


async def test_clone_makes_no_namespaces(local: Any) -> None:
    clone = 56 if os.uname().machine == "x86_64" else 220
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert await attempt(local, f"call({clone}, {flag | 17}, 0, 0, 0, 0)") == "EPERM"
    assert await attempt(local, "call(435, 0, 0)") == "ENOSYS"  # clone3 hides its flags


async def test_a_call_of_a_foreign_abi_kills(local: Any) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("only x86_64 has a second ABI")
    ran = await local.run(f"{TRY}\nset_result(attempt(lambda: call(0x40000000 + 39)))")  # getpid of x32
    assert ran.outcome.result == "ENOSYS" or "SIGSYS" in (ran.error or "")


async def test_limits_cannot_be_raised(local: Any) -> None:
    code = """
import resource
try: resource.setrlimit(resource.RLIMIT_NPROC, (4096, 4096))
except (ValueError, OSError): set_result('refused')
"""
    assert await local.result(code) == "refused"


async def test_no_descriptor_of_others_is_open(local: Any) -> None:
    code = """
import os
paths = {fd: f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
set_result({fd: os.readlink(path).split(":")[0] for fd, path in paths.items() if os.path.lexists(path)})
"""
    assert await local.result(code) == {"0": "/dev/null", "1": "pipe", "2": "pipe", "3": "socket"}


async def test_the_frame_socket_is_not_inherited_by_programs(local: Any) -> None:
    code = """
import subprocess
set_result(subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout.split())
"""
    assert await local.result(code) == ["0", "1", "2", "3"]  # 3 is ls's own look at the directory


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="as ordinary user, scripts are that user outside the sandbox")


@as_root
async def test_root_is_nobody_outside_the_sandbox(local: Any) -> None:
    task, session = local.start("import os, time\nprint(1)\ntime.sleep(30)")
    async with asyncio.timeout(5):
        await session.until(lambda session: session.stdout)
    await local.settle()  # a standby that is being made has not taken its uid yet
    ids = [_ids(pid) for pid in _descendants(os.getpid())]
    assert len(ids) == 7  # the box, its zygote, the maker of inits; init and script, twice
    assert all(64_111 <= number < 64_111 + 1024 for uids in ids for number in uids)
    task.cancel()


@as_root
async def test_executions_at_once_have_different_uids_outside_and_none_is_the_zygotes(make_local: Any) -> None:
    local = await make_local(replicas=3)
    tasks = []
    for _ in range(3):
        task, session = local.start("import os, time\nos.fork()\nprint(1)\ntime.sleep(30)")
        async with asyncio.timeout(5):
            await session.until(lambda session: session.stdout)
        tasks.append(task)
    await local.settle()
    scripts = [pid for pid in _descendants(os.getpid()) if _inner_pids(pid)[1:] == [2]]
    uids = [_ids(pid) for pid in scripts]
    assert len(uids) == 6  # three that run, three that stand by
    assert all(len(own) == 1 for own in uids)  # real, effective, saved and filesystem id of user and group
    assert len({*map(tuple, uids)}) == 6
    assert [64_111] not in uids
    for task in tasks:
        task.cancel()


@as_root
async def test_the_kernel_lets_no_script_signal_or_trace_another_by_their_uids(make_local: Any) -> None:
    """From outside, with the uid of one script and no rights, as a script would be that broke out of all else."""
    local = await make_local(replicas=2)
    for _ in range(2):
        _, session = local.start("import time\nprint(1)\ntime.sleep(30)")
        async with asyncio.timeout(5):
            await session.until(lambda session: session.stdout)
    one, other = [pid for pid in _descendants(os.getpid()) if _inner_pids(pid)[1:] == [2]][:2]
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
async def test_the_uids_are_those_that_the_operator_chose() -> None:
    backend = LocalBackend(Project(name="test"), LocalSettings(first_uid=50_000))
    await backend.scale(2)
    ids = [_ids(pid) for pid in _descendants(os.getpid())]
    assert len({number for own in ids for number in own}) == 3  # the zygote, and two scripts
    assert all(50_000 <= number < 51_024 for own in ids for number in own)
    assert "50000 to 51023" in backend.isolation
    await backend.close()


def _ids(pid: int) -> list[int]:
    """All user and group ids of a process, each once."""
    lines = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sorted({int(number) for line in lines if line[:1] in (["Uid:"], ["Gid:"]) for number in line[1:]})


def _inner_pids(pid: int) -> list[int]:
    """The pid of a process in each of the pid namespaces below the box's."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:"))
    return [int(number) for number in line.split()[2:]]


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(found for child in children for found in _descendants(child))]
