"""Attacks on the parts of this sandbox that once got through, each as small as it can be."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from airlock.testing.attacks.files import WATCH

pytestmark = pytest.mark.anyio

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root's executions have uids and cgroups of their own")
CLONE = 56 if os.uname().machine == "x86_64" else 220

# A child of the zygote: clone(CLONE_PARENT | SIGCHLD). Dead, it is a zombie that nobody reaps, and pid 1 waits for it.
SIBLING = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
pid = libc.syscall({CLONE}, 0x8000 | 17, 0, 0, 0, 0)
if pid == 0:
    os._exit(0)
set_result(-ctypes.get_errno() if pid < 0 else pid)
"""


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zygote(local: Any) -> int:
    return children(local.backend._box._process.pid)[0]


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def begin(local: Any, code: str) -> asyncio.Task[Any]:
    """Start a script, and wait until it printed."""
    task, run = local.start(code)
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout)
    return task  # type: ignore[no-any-return]


# --- the zygote's children ---------------------------------------------------------------------------------------


async def test_a_dead_sibling_of_a_script_does_not_keep_the_execution_from_dying(local: Any) -> None:
    await local.result(SIBLING)
    async with asyncio.timeout(3):  # the server gives up after STOP_TIMEOUT, and its cgroup, uid and network are lost
        while local.backend._stopping:
            await asyncio.sleep(0.01)


async def test_no_zombies_are_left_below_the_zygote(local: Any) -> None:
    for _ in range(3):
        await local.result(SIBLING)
    await asyncio.sleep(0.5)
    assert [pid for pid in children(zygote(local)) if state(pid) == "Z"] == []


# --- neighbours and the host are in sight ------------------------------------------------------------------------


async def test_the_network_of_pid_1_is_not_that_of_a_neighbour(make_local: Any) -> None:
    """Pid 1 is in the network that the maker made last, whoever uses that, and /proc/1/net is for everybody."""
    local = await make_local(replicas=1)
    bind = "import socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0canary'); print(1)\ntime.sleep({})"
    first = await begin(local, bind.format(0.3))
    await local.settle()
    await first  # its network is free again
    await local.settle()
    neighbour = await begin(local, bind.format(30))  # in the newest network
    await local.settle()  # the next one is in the free network, with a pid 1 in the newest
    assert "canary" not in await local.result("set_result(open('/proc/1/net/unix').read())")
    neighbour.cancel()


async def test_a_script_does_not_see_which_programs_the_host_runs(local: Any) -> None:
    """Bind mounts share inodes: inotify on /usr/bin reports every program that anybody opens there."""
    spy = await begin(local, WATCH)
    await (
        await asyncio.create_subprocess_exec("/usr/bin/base32", "/dev/null", stdout=asyncio.subprocess.DEVNULL)
    ).wait()
    assert "base32" not in (await spy).result


# --- the cause of an end -----------------------------------------------------------------------------------------


async def test_descriptors_sent_to_the_server_are_not_taken(local: Any) -> None:
    send = """
import socket
channel = socket.socket(fileno=3)
socket.send_fds(channel, [b"\\1\\0\\0\\0R1"], [0, 1, 2])
channel.detach()
"""
    assert await local.result(send) == 1
    await local.settle()
    before = os.listdir("/proc/self/fd")
    for _ in range(30):
        await local.result(send)
    await local.settle()
    # Some more are of cgroups that are kept for use again, on a busy machine of several.
    assert len(os.listdir("/proc/self/fd")) < len(before) + 30 * 3


# --- the maker ---------------------------------------------------------------------------------------------------


async def test_a_box_whose_maker_died_is_replaced(local: Any) -> None:
    """Nothing makes inits any more, but the zygote lives, so the box counts as alive for ever."""
    os.kill(children(zygote(local))[0], signal.SIGKILL)
    await local.run("print(1)")  # the standby that was there
    async with asyncio.timeout(8):
        assert (await local.run("print(2)")).stdout == "2\n"


async def test_a_standby_that_nobody_listens_to_does_not_kill_the_zygote(local: Any) -> None:
    box = local.backend._box
    before = zygote(local)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        for reuse in False, True:
            box.make_slot(box.identities.take(), [theirs.fileno()], lambda _: None, reuse=reuse)
    await local.run("print(1)")
    await local.settle()
    assert (await local.run("print(2)")).stdout == "2\n"
    assert zygote(local) == before


# --- as an ordinary user -----------------------------------------------------------------------------------------


@as_user
async def test_memory_of_one_process_is_bounded_also_where_it_is_no_address_space(make_local: Any) -> None:
    local = await make_local(memory="64MiB")
    if local.backend._groups is not None:
        pytest.skip("a cgroup counts it")
    code = """
import os
files = [os.memfd_create("x") for _ in range(8)]
set_result(sum(os.write(file, bytes(1 << 20)) for file in files for _ in range(32)))
"""
    ran = await local.run(code)
    assert ran.error is not None or ran.outcome.result <= 64 << 20


@as_user
@pytest.mark.parametrize("call", ["shmget(0, 4096, 0o1600)", "msgget(0, 0o1600)", "semget(0, 1, 0o1600)"])
async def test_system_v_memory_that_nobody_counts_is_refused(make_local: Any, call: str) -> None:
    local = await make_local()
    if local.backend._groups is not None:
        pytest.skip("a cgroup counts it")
    ran = await local.run(f"import ctypes\nset_result(ctypes.CDLL(None).{call})")
    assert ran.result == -1


IN_FLIGHT = """
import os, socket, time
ours, theirs = socket.socketpair()
said = False
while True:  # also when those of others, who count as well, arrived
    try:
        socket.send_fds(ours, [b"x"], [1])
    except OSError as error:
        said = said or print(error.strerror, flush=True) is None
        time.sleep(0.001)
"""


@as_user
async def test_descriptors_that_a_script_keeps_in_flight_keep_no_standby_from_starting(make_local: Any) -> None:
    local = await make_local(files=64)
    task, run = local.start(IN_FLIGHT)
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout)
    assert run.stdout == "Too many references: cannot splice\n"
    for _ in range(3):
        assert (await local.run("print(1)")).stdout == "1\n"
    task.cancel()
