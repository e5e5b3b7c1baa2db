"""The part of `BackendContract` about what programs find around a script: a user, a time zone, devices, terminals."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

USER = """
import getpass, grp, os, pwd
own = pwd.getpwuid(os.getuid())
set_result({
    "names": sorted({getpass.getuser(), own.pw_name, os.environ["USER"], os.environ["LOGNAME"]}),
    "group": grp.getgrgid(os.getgid()).gr_name,
    "homes": sorted({own.pw_dir, os.environ["HOME"], os.path.expanduser("~"), os.path.expanduser("~" + own.pw_name)}),
    "shells": sorted({own.pw_shell, os.environ["SHELL"]}),
})
"""
ETC = """
import datetime, locale, mimetypes, socket, ssl, time
set_result({
    "zone": [datetime.datetime.now().astimezone().tzname(), time.timezone],
    "locale": locale.setlocale(locale.LC_ALL, ""),
    "type": mimetypes.guess_type("a.docx")[0],
    "names": [socket.getservbyname("https"), socket.getprotobyname("tcp")],
    "verifies": ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED,
})
"""
FONTS = """
import shutil, subprocess
with open("/etc/fonts/fonts.conf") as file: is_there = "<dir>" in file.read()
if shutil.which("fc-list"): subprocess.run(["fc-list"], stdout=subprocess.DEVNULL)
set_result(is_there)
"""
TERMINAL = """
import os, pty
child, terminal = pty.fork()
if child == 0:
    os.execvp("sh", ["sh", "-c", "test -t 0 && tty"])
said = os.read(terminal, 100)
os.waitpid(child, 0)
ours, theirs = os.openpty()
set_result([said.decode().strip(), os.ttyname(theirs), os.isatty(ours)])
"""
MEMORY = """
import multiprocessing, os
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=8)
lock = multiprocessing.get_context("fork").Lock()
if (child := os.fork()) == 0:
    with lock: block.buf[0] = 7
    os._exit(0)
os.waitpid(child, 0)
set_result(block.buf[0])
block.close(); block.unlink()
"""
DEVICES = """
import errno, os
read, write = os.pipe()
os.write(write, b"x")
def full():
    with open("/dev/full", "wb", buffering=0) as file:
        try: file.write(b"x")
        except OSError as error: return error.errno == errno.ENOSPC
set_result([
    os.open(f"/dev/fd/{read}", os.O_RDONLY) > 0, os.path.exists("/dev/stdin"), full(),
    len(open("/dev/urandom", "rb").read(3)), open("/dev/zero", "rb").read(2) == bytes(2),
])
"""


@pytest.mark.anyio
class Surroundings(BackendBench):
    """What a laptop has without anybody having set it up, and what libraries complain about where it is missing."""

    @needs("runs_code", "surroundings")
    async def test_user_has_one_name_and_one_home(self, shared: Backend[Any]) -> None:
        found = await self.result_of(shared, USER)
        assert found == {"names": ["sandbox"], "group": "sandbox", "homes": ["/tmp"], "shells": ["/bin/sh"]}  # noqa: S108

    @needs("runs_code", "surroundings")
    async def test_etc_answers_what_the_standard_library_asks(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, ETC) == {
            "zone": ["UTC", 0],
            "locale": "C.UTF-8",
            "type": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "names": [443, 6],
            "verifies": True,
        }

    @needs("runs_code", "surroundings", "subprocesses")
    async def test_fontconfig_finds_its_configuration(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, FONTS)
        assert outcome.result is True
        assert run.stderr == ""

    @needs("runs_code", "surroundings", "subprocesses")
    async def test_child_runs_in_a_terminal_of_its_own(self, shared: Backend[Any]) -> None:
        said, name, is_terminal = await self.result_of(shared, TERMINAL)
        assert said.startswith("/dev/pts/")
        assert name.startswith("/dev/pts/")
        assert is_terminal

    @needs("runs_code", "surroundings", "subprocesses")
    async def test_processes_share_memory_and_locks(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, MEMORY) == 7

    @needs("runs_code", "surroundings")
    async def test_devices_are_those_that_programs_open(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, DEVICES) == [True, True, True, 3, True]
