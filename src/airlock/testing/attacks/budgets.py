"""What the kernel has only so much of for a whole machine, and its own memory that `limits.memory` does not count."""

from __future__ import annotations

import errno

import pytest

from airlock.sandbox import TERMINALS, seccomp
from airlock.testing.backend.capabilities import needs

from .arena import Arena, Pools
from .canaries import Pool

# One of each, which fails with EPERM for this reason alone. Many would take all, or gigabytes.
REFUSED = {
    "asynchronous input and output": "call({io_setup}, 1, ctypes.byref(ctypes.c_ulong()))",
    "a program on a socket": """socket.socketpair()[0].setsockopt(1, 26, (1).to_bytes(8, "little") + ctypes.addressof(
        kept := ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"))
    ).to_bytes(8, "little"))""",
    "a filter of its own": "call({prctl}, 22, 2, 0, 0, 0)",
    "huge pages": "__import__('mmap').mmap(-1, 1 << 21, flags=0x40022)",
    "huge pages in a file": "os.memfd_create('x', 4)",
    "another driver for a terminal": """__import__("fcntl").ioctl(
        os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY), 0x5423, bytes(4)
    )""",
    "a process with the same descriptors": "call({clone}, 0x400 | 17, 0, 0, 0, 0) or os._exit(0)",
}
ACCESS_CONTROL_LIST = """os.setxattr("/tmp", "system.posix_acl_access", bytes.fromhex(
    "02000000 01000700ffffffff 04000700ffffffff 20000700ffffffff"
))"""
# What a kernel says that has no such thing, so that programs make do without it.
DOES_NOT_EXIST = {
    ACCESS_CONTROL_LIST: errno.EOPNOTSUPP,
    "os.setxattr('/tmp', 'user.x', b'')": errno.EOPNOTSUPP,
    "__import__('mmap').mmap(-1, 4096).madvise(12)": errno.EINVAL,  # MADV_MERGEABLE
    "call({prctl}, 67, 1, 0, 0, 0)": errno.EINVAL,  # PR_SET_MEMORY_MERGE
    "call({prctl}, 62, 1, 0, 0, 0)": errno.EINVAL,  # PR_SCHED_CORE
    "os.pipe2(os.O_EXCL)": errno.ENOPKG,  # O_NOTIFICATION_PIPE
}
COPIES = """
import subprocess
copied = "cp -a /usr/bin/env /tmp/a", "cp -p /tmp/a /dev/shm/a", "install -m 750 /tmp/a /tmp/b", "mv /tmp/b /dev/shm"
for command in copied: subprocess.run(command.split(), check=True)
set_result(subprocess.run(["stat", "-c", "%a", "/dev/shm/a", "/dev/shm/b"], capture_output=True, text=True).stdout)
"""
# A descriptor that is not open, and an address where nothing is: whoever asks a disk would learn that.
FLUSHES = (
    "os.fsync(99)",
    "os.fdatasync(99)",
    "call({syncfs}, 99)",
    "call({sync_file_range}, 99, 0, 0, 0)",
    "call({msync}, 0, 4096, 4)",
)
TAKE_TERMINALS = """
import os
kept = []
try:
    for _ in range(50): kept.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError: pass
"""
OFD_LOCK = "__import__('fcntl').fcntl(os.open('/tmp/x', os.O_RDWR | os.O_CREAT), 37, bytes(32))"

LOCKS = """
import fcntl, os
def take(files, each, first=0):
    kept = [os.open(f"/tmp/{n}", os.O_RDWR | os.O_CREAT) for n in range(files)]
    for place in range(first, first + each):  # there is a gap after each, or they would become one
        for file in kept: fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * place)
"""
TOO_MANY_LOCKS = {
    "of the script": f"{LOCKS}\nimport time\ntake(40, 500)\ntime.sleep(60)",
    "of a child": f"{LOCKS}\nimport time\nif os.fork() == 0: take(40, 500)\ntime.sleep(60)",
    "of an orphan": f"{LOCKS}\nimport time\nif os.fork() == 0: os.fork() or take(40, 500)\ntime.sleep(60)",
    "of open files": """
import fcntl, os, time
for _ in range(30):
    if os.fork() == 0:
        try:
            while True: fcntl.flock(os.open("/tmp/x", os.O_RDWR | os.O_CREAT), fcntl.LOCK_SH)
        except OSError: break
time.sleep(60)
""",
}
MODEST = """
import sqlite3, threading, time
take(9, 100)
def insert():
    with sqlite3.connect("/tmp/db", timeout=30) as connection:
        for n in range(20):
            connection.execute("insert into t values (?)", (n,))
            connection.commit()
with sqlite3.connect("/tmp/db") as connection: connection.execute("create table t (n)")
threads = [threading.Thread(target=insert) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
time.sleep(0.3)
set_result(connection.execute("select count(*) from t").fetchone()[0])
"""


def with_numbers(expression: str) -> str:
    """Put in the numbers of system calls."""
    names = ("io_setup", "prctl", "clone", "syncfs", "sync_file_range", "msync")
    return expression.format(**{name: seccomp.system_call(name) for name in names})


def refused_calls() -> dict[str, str]:
    """Return expressions for `Arena.attempts`, by what they try to get."""
    return {name: with_numbers(expression) for name, expression in REFUSED.items()}


@pytest.mark.anyio
class Budgets(Arena):
    """One script takes nothing that all of the machine has to share, and no memory beside its own limit."""

    @needs("filters_calls")
    async def test_what_no_limit_counts_is_refused(self, pool: Pool) -> None:
        calls = refused_calls()
        answers = await self.attempts(pool, *calls.values())
        assert {name: answers[call] for name, call in calls.items()} == dict.fromkeys(calls, "EPERM")

    @needs("filters_calls")
    async def test_what_programs_can_do_without_does_not_exist(self, pool: Pool) -> None:
        """Memory that no control group counts, and what others notice: equal pages, and half of a core."""
        expected = {with_numbers(call): errno.errorcode[error] for call, error in DOES_NOT_EXIST.items()}
        assert await self.attempts(pool, *expected) == expected

    async def test_programs_that_copy_permissions_make_do_without_access_control_lists(self, pool: Pool) -> None:
        assert await pool.result(COPIES) == "755\n750\n"

    @needs("filters_calls")
    async def test_no_disk_waits_for_a_script(self, pool: Pool) -> None:
        """`sync` made the machine's disks write what others had changed, `fsync` on a file of /usr flushed them."""
        calls = [with_numbers(call) for call in FLUSHES]
        assert set((await self.attempts(pool, *calls)).values()) <= {"None", "0"}

    @needs("filters_calls")
    async def test_locks_that_name_no_process_are_what_an_old_kernel_does_not_know(self, pool: Pool) -> None:
        assert await self.attempt(pool, OFD_LOCK) == errno.errorcode[errno.EINVAL]

    @needs("seen_by_host")
    async def test_one_script_gets_few_of_the_machines_terminals(self, pool: Pool) -> None:
        """All scripts of a machine share kernel.pty.max, and none sees those of another."""
        async with self.beside(pool, f"{TAKE_TERMINALS}\nprint(1, flush=True)\nimport time; time.sleep(60)"):
            taken, named = await pool.result(f"{TAKE_TERMINALS}\nset_result([len(kept), len(os.listdir('/dev/pts'))])")
        assert taken <= TERMINALS
        assert named <= taken + 1

    @needs("counts_locks")
    @pytest.mark.parametrize("code", TOO_MANY_LOCKS.values(), ids=TOO_MANY_LOCKS)
    async def test_too_many_locks_are_a_memory_limit(self, pools: Pools, code: str) -> None:
        """Two million held 381 MiB of the kernel's memory, under a limit of 256 MiB."""
        pool = await pools.get(memory="64MiB")
        ran = await pool.run(code)
        assert ran.error_type == "memory_limit"
        assert "locks of files" in (ran.error or "")
        assert await pool.result("set_result(1)") == 1

    @needs("counts_locks")
    async def test_a_script_with_some_locks_is_left_alone_beside_one_with_too_many(self, pool: Pool) -> None:
        async with self.beside(pool, f"{LOCKS}\nprint(1, flush=True)\ntake(40, 500)\nimport time\ntime.sleep(60)"):
            assert await pool.result(LOCKS + MODEST) == 80
