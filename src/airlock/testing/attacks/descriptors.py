"""Open files that two executions could share: their flags, offset, owner and locks would be a way between them."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from pathlib import Path
from typing import Final

import pytest

from airlock.testing.backend.capabilities import needs

from .arena import Arena
from .canaries import Pool
from .processes import asleep

KCMP: Final = 272 if os.uname().machine == "aarch64" else 312
KCMP_FILE: Final = 0

# `look` returns what an open file tells every process that has it, `change` changes all of that.
LOOK: Final = """
import errno, fcntl, os, signal, struct
SETSIG, GETSIG, OFD_GETLK, OFD_SETLK = 10, 11, 36, 37
def attempt(what, *arguments):
    try:
        return what(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
def lock(kind):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, {start}, 1, 0)
def locked(fd):
    return struct.unpack_from("h", fcntl.fcntl(fd, OFD_GETLK, lock(fcntl.F_WRLCK)))[0] != fcntl.F_UNLCK
def look(fd):
    return [attempt(fcntl.fcntl, fd, fcntl.F_GETFL), attempt(fcntl.fcntl, fd, GETSIG),
            attempt(fcntl.fcntl, fd, fcntl.F_GETOWN) != 0, attempt(os.lseek, fd, 0, os.SEEK_CUR), attempt(locked, fd)]
def change(fd):
    attempt(fcntl.fcntl, fd, fcntl.F_SETFL, attempt(fcntl.fcntl, fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)
    attempt(fcntl.fcntl, fd, SETSIG, 42)
    attempt(fcntl.fcntl, fd, fcntl.F_SETOWN, os.getpid())
    attempt(os.lseek, fd, 7, os.SEEK_SET)
    attempt(fcntl.fcntl, fd, OFD_SETLK, lock(fcntl.F_RDLCK))
def descriptors():
    return [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{{fd}}")]
"""
LEAVE: Final = """
before = {fd: look(fd) for fd in descriptors()}
for fd in before:
    change(fd)
after = {fd: look(fd) for fd in before}
for fd in before:
    os.set_blocking(fd, True)
set_result([before, after])
"""
HINT: Final = """
import fcntl, os, struct
F_GET_RW_HINT, F_SET_RW_HINT = 1035, 1036
found = []
for path in ("/", "/usr", "/dev", "/proc/fs", os.__file__):
    try:
        file = os.open(path, os.O_RDONLY)
        found += struct.unpack("Q", fcntl.fcntl(file, F_GET_RW_HINT, bytes(8)))
        fcntl.fcntl(file, F_SET_RW_HINT, struct.pack("Q", 3))
    except OSError:
        pass
set_result(found)
"""


@pytest.mark.anyio
class Descriptors(Arena):
    """Each execution has its own open files, the three standard streams and the frame socket among them."""

    async def test_what_a_script_notes_on_files_that_others_see_is_not_there_for_the_next(self, pool: Pool) -> None:
        """The kernel asks who owns them, not whether they are mounted read-only; until Linux 6.8, not even that."""
        first = await pool.result(HINT)
        assert await pool.result(HINT) == first

    async def test_what_a_script_does_to_its_open_files_is_not_seen_by_the_next(self, pool: Pool) -> None:
        code = LOOK.format(start=secrets.randbits(40)) + LEAVE  # others may lock the same file meanwhile
        first, changed = await pool.result(code)
        assert all(first[fd] != changed[fd] for fd in first)
        for _ in range(3):
            assert (await pool.result(code))[0] == first

    @needs("seen_by_host")
    async def test_no_open_file_belongs_to_two_executions(self, pool: Pool) -> None:
        tokens = [f"60{secrets.randbits(40)}" for _ in range(2)]
        start = "import subprocess, time\nsubprocess.Popen(['sleep', '{}'])\nprint(1)\ntime.sleep(60)"
        one, two = map(start.format, tokens)
        async with self.beside(pool, one), self.beside(pool, two):
            scripts = [parent(pid) for token in tokens for pid in await asleep(token, 1, self.patience)]
            assert len(set(scripts)) == 2
            assert shared(*scripts) == []


def shared(one: int, two: int) -> list[tuple[str, str]]:
    """Return the pairs of descriptors of two processes that are the same open file."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for ours in Path(f"/proc/{one}/fd").iterdir():
        for theirs in Path(f"/proc/{two}/fd").iterdir():
            result = libc.syscall(KCMP, one, two, KCMP_FILE, int(ours.name), int(theirs.name))
            if result < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
                pytest.skip("this machine does not let us compare open files (kcmp)")
            if result == 0:
                found.append((ours.name, theirs.name))
    return found


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
