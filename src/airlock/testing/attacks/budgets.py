"""What the kernel has only so much of for a whole machine, and its own memory that `limits.memory` does not count."""

from __future__ import annotations

import errno

import pytest

from airlock.sandbox import seccomp
from airlock.testing.backend.capabilities import needs

from .arena import Arena, Pools
from .canaries import Pool

# One of each, which fails with EPERM for this reason alone. Many would take all, or gigabytes.
REFUSED = {
    "asynchronous input and output": "call({io_setup}, 1, ctypes.byref(ctypes.c_ulong()))",
    "an access control list": """os.setxattr("/tmp", "system.posix_acl_access", bytes.fromhex(
        "02000000 01000700ffffffff 04000700ffffffff 20000700ffffffff"
    ))""",
    "an attribute of a file": "os.setxattr('/tmp', 'user.x', b'')",
    "a program on a socket": """socket.socketpair()[0].setsockopt(1, 26, (1).to_bytes(8, "little") + ctypes.addressof(
        kept := ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"))
    ).to_bytes(8, "little"))""",
    "a filter of its own": "call({prctl}, 22, 2, 0, 0, 0)",
    "huge pages": "__import__('mmap').mmap(-1, 1 << 21, flags=0x40022)",
    "huge pages in a file": "os.memfd_create('x', 4)",
    "a process with the same descriptors": "call({clone}, 0x400 | 17, 0, 0, 0, 0) or os._exit(0)",
}
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


def refused_calls() -> dict[str, str]:
    """Return expressions for `Arena.attempts`, by what they try to get."""
    numbers = {name: seccomp.system_call(name) for name in ("io_setup", "prctl", "clone")}
    return {name: expression.format(**numbers) for name, expression in REFUSED.items()}


@pytest.mark.anyio
class Budgets(Arena):
    """One script takes nothing that all of the machine has to share, and no memory beside its own limit."""

    @needs("filters_calls")
    async def test_what_no_limit_counts_is_refused(self, pool: Pool) -> None:
        calls = refused_calls()
        answers = await self.attempts(pool, *calls.values())
        assert {name: answers[call] for name, call in calls.items()} == dict.fromkeys(calls, "EPERM")

    @needs("filters_calls")
    async def test_locks_that_name_no_process_are_what_an_old_kernel_does_not_know(self, pool: Pool) -> None:
        assert await self.attempt(pool, OFD_LOCK) == errno.errorcode[errno.EINVAL]

    async def test_there_are_no_terminals(self, pool: Pool) -> None:
        """All containers of a machine share kernel.pty.max."""
        opened = [f"os.open('{path}', os.O_RDWR)" for path in ("/dev/ptmx", "/dev/pts/ptmx")]
        answers = await self.attempts(pool, *opened)
        assert set(answers.values()) <= {"ENOENT", "EACCES", "EPERM", "EROFS"}

    @needs("counts_locks")
    @pytest.mark.parametrize("code", TOO_MANY_LOCKS.values(), ids=TOO_MANY_LOCKS)
    async def test_too_many_locks_are_a_memory_limit(self, pools: Pools, code: str) -> None:
        """Two million held 381 MiB of the kernel's memory, under a limit of 256 MiB."""
        pool = await pools.get(memory="64MiB")
        ran = await pool.run(code)
        assert ran.error_type == "memory_limit"
        assert "POSIX locks" in (ran.error or "")
        assert await pool.result("set_result(1)") == 1

    @needs("counts_locks")
    async def test_a_script_with_some_locks_is_left_alone_beside_one_with_too_many(self, pool: Pool) -> None:
        async with self.beside(pool, f"{LOCKS}\nprint(1, flush=True)\ntake(40, 500)\nimport time\ntime.sleep(60)"):
            assert await pool.result(LOCKS + MODEST) == 80
