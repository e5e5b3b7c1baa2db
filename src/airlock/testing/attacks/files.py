"""Files that a script looks for: those of the host, of the server, and of other executions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import airlock
from airlock.testing.backend.capabilities import needs
from airlock.worker.layers import HIDDEN

from .arena import Arena
from .canaries import Pool

ANYBODYS_NAMES = ("", "localhost", "sandbox")
READ_ONLY = ("/", "/usr", "/usr/lib", "/usr/bin", "/dev", "/etc", "/proc", "/var/tmp", "/run", "/opt")  # noqa: S108
WATCH = """
import ctypes, os, select, struct
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
libc.inotify_add_watch(fd, b"/usr/bin", 0x20)  # IN_OPEN
print("watching", flush=True)
seen = []
if fd >= 0 and select.select([fd], [], [], 1.5)[0]:
    data = os.read(fd, 65536)
    while data:
        size = struct.unpack_from("iIII", data)[3]
        seen.append(data[16 : 16 + size].rstrip(b"\\0").decode())
        data = data[16 + size :]
set_result(seen)
"""
TAKE_INOTIFY = "import ctypes\nlibc = ctypes.CDLL(None)\nn = 0\nwhile libc.inotify_init() >= 0: n += 1\n"


@pytest.mark.anyio
class Files(Arena):
    """The host's files are absent, the sandbox's own cannot be changed, and nothing remains."""

    async def test_no_way_leads_to_a_file_of_the_host(self, pool: Pool, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        canary.write_text("secret")
        ways = (
            f"open('{canary}').read()",
            f"(os.symlink('{canary}', '/tmp/a'), open('/tmp/a').read())",
            f"(os.symlink('../..{canary}', '/tmp/b'), open('/tmp/b').read())",
            f"open('/proc/1/root{canary}').read()",
            f"open('/proc/1/cwd/../../..{canary}').read()",
            f"(os.chdir('/'), [os.chdir('..') for _ in range(50)], open('.{canary}').read())",
        )
        answers = await self.attempts(pool, *ways)
        assert {way: answer for way, answer in answers.items() if answer not in ("ENOENT", "EACCES", "EPERM")} == {}

    async def test_the_servers_own_files_do_not_exist(self, pool: Pool) -> None:
        module = sys.modules[type(pool.backend).__module__].__file__
        paths = [airlock.__file__, module, pytest.__file__, str(Path(sys.prefix, "pyvenv.cfg")), str(Path(__file__))]
        answers = await self.attempts(pool, *(f"os.stat({path!r})" for path in paths))
        # EACCES: scripts may not enter a folder on the way, such as /root in many images, whatever is below it.
        assert {path: answer for path, answer in answers.items() if answer not in ("ENOENT", "EACCES")} == {}

    async def test_packages_of_the_server_cannot_be_imported(self, pool: Pool) -> None:
        own = type(pool.backend).__module__.partition(".")[0]
        code = f"""
import importlib.util
names = ({own!r}, "pydantic", "fastapi", "pytest")
ours = importlib.util.find_spec("airlock")
set_result([ours.origin, ours.submodule_search_locations, [name for name in names if importlib.util.find_spec(name)]])
"""
        assert await pool.result(code) == ["the sandbox", None, []]

    @needs("seen_by_host")
    async def test_proc_tells_nothing_of_the_hosts_locks_devices_and_file_systems(self, pool: Pool) -> None:
        """Only of a kernel that it shares with the host."""
        reads = [
            f"os.listdir('/proc/{name}') if os.path.isdir('/proc/{name}') else open('/proc/{name}').read()"
            for name in HIDDEN
        ]
        answers = await self.attempts(pool, *reads)
        assert set(answers.values()) <= {"''", "[]", "ENOENT", "EACCES"}

    async def test_the_hosts_name_is_not_known(self, pool: Pool) -> None:
        if (name := os.uname().nodename) in ANYBODYS_NAMES:
            pytest.skip(f"this machine is called {name}, as others are")
        code = "import os, platform, socket; set_result([os.uname().nodename, platform.node(), socket.gethostname()])"
        assert name not in await pool.result(code)

    async def test_nothing_can_be_written_outside_scratch(self, pool: Pool) -> None:
        writes = [f"open('{folder}/canary', 'w')" for folder in READ_ONLY]
        answers = await self.attempts(pool, *writes, "open(os.path.dirname(os.__file__) + '/canary', 'w')")
        assert set(answers.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT", "ENOSPC"}

    async def test_nothing_of_a_former_execution_is_left(self, pool: Pool) -> None:
        leave = """
import json, os, sys, types
open("/tmp/canary", "w").write("x"); open("/dev/shm/canary", "w").write("x")
sys.modules["canary"] = types.ModuleType("canary"); json.canary = 1; os.environ["CANARY"] = "x"
import builtins; builtins.canary = 1
"""
        find = """
import builtins, json, os, sys
set_result([os.listdir("/tmp"), os.listdir("/dev/shm"), "canary" in sys.modules, hasattr(json, "canary"),
            "CANARY" in os.environ, hasattr(builtins, "canary")])
"""
        for _ in range(3):  # for workers that started before and after it
            await pool.result(leave)
            assert await pool.result(find) == [[], [], False, False, False, False]

    async def test_a_script_does_not_see_which_files_a_neighbour_opens(self, pool: Pool) -> None:
        async with self.beside(pool, WATCH) as spy:
            await pool.result("open('/usr/bin/sha224sum', 'rb').close()")
            assert "sha224sum" not in (await spy).result

    async def test_one_script_cannot_take_all_inotify_instances(self, pool: Pool) -> None:
        alone = await pool.result(f"{TAKE_INOTIFY}set_result(n)")
        async with self.beside(pool, f"{TAKE_INOTIFY}print(n, flush=True)\nimport time; time.sleep(60)"):
            assert await pool.result(f"{TAKE_INOTIFY}set_result(n)") == alone

    async def test_system_v_memory_is_not_shared(self, pool: Pool) -> None:
        libc = "import ctypes, time\nlibc = ctypes.CDLL(None)\n"
        neighbour = f"{libc}print(libc.shmget(4711, 4096, 0o1666), flush=True)\ntime.sleep(60)"
        async with self.beside(pool, neighbour):
            assert await pool.result(f"{libc}set_result(libc.shmget(4711, 4096, 0o666))") == -1
