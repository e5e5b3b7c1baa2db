"""Kernel features that no script needs: privileges, namespaces, dangerous system calls, devices."""

from __future__ import annotations

import os

import pytest

from airlock.testing.backend.capabilities import needs

from .arena import TRY, Arena
from .canaries import Pool

IS_ARM = os.uname().machine == "aarch64"

CALLS = {  # x86_64, aarch64
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
NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
CLONE = 220 if IS_ARM else 56
CLONE_PARENT = 0x8000


@pytest.mark.anyio
class Kernel(Arena):
    """A script has no privileges, and no way to gain any."""

    async def test_there_are_no_capabilities_and_no_new_privileges(self, pool: Pool) -> None:
        code = """
lines = [line.rstrip() for line in open("/proc/self/status") if line.startswith(("Cap", "NoNew", "Seccomp:"))]
set_result(dict(line.split(":\\t") for line in lines))
"""
        status = await pool.result(code)
        assert {int(value, 16) for name, value in status.items() if name.startswith("Cap")} == {0}
        assert status["Seccomp"] == "2"
        assert await self.attempt(pool, "libc.prctl(39, 0, 0, 0, 0)") == "1"  # PR_GET_NO_NEW_PRIVS

    @needs("filters_calls")
    async def test_dangerous_system_calls_are_refused(self, pool: Pool) -> None:
        calls = {name: f"call({numbers[IS_ARM]}, 0, 0, 0, 0, 0)" for name, numbers in CALLS.items()}
        answers = await self.attempts(pool, *calls.values())
        assert {name: answers[expression] for name, expression in calls.items()} == dict.fromkeys(calls, "EPERM")

    @needs("filters_calls")
    async def test_buffers_of_sockets_stay_as_they_are(self, pool: Pool) -> None:
        """They are kernel memory, which only a cgroup counts."""
        options = [f"socket.socketpair()[0].setsockopt(1, {option}, 1 << 22)" for option in (7, 8, 32, 33)]
        assert await self.attempts(pool, *options) == dict.fromkeys(options, "EPERM")

    async def test_clone_makes_no_namespaces(self, pool: Pool) -> None:
        clones = [f"call({CLONE}, {flag | 17}, 0, 0, 0, 0)" for flag in NEW_NAMESPACES]
        assert await self.attempts(pool, *clones) == dict.fromkeys(clones, "EPERM")
        assert await self.attempt(pool, "call(435, 0, 0)") == "ENOSYS"  # clone3 hides its flags

    async def test_a_script_makes_no_children_of_who_made_it(self, pool: Pool) -> None:
        """Such a child would become a zombie that is never reaped."""
        code = f"{TRY}\nif (pid := libc.syscall({CLONE}, {CLONE_PARENT | 17}, 0, 0, 0, 0)) == 0: os._exit(0)"
        assert await pool.result(f"{code}\nset_result(pid)") == -1

    @pytest.mark.skipif(IS_ARM, reason="only x86_64 has a second ABI")
    async def test_a_call_of_a_foreign_abi_kills(self, pool: Pool) -> None:
        ran = await pool.run(f"{TRY}\nset_result(attempt(lambda: call(0x40000000 + 39)))")  # getpid of x32
        assert ran.outcome.result == "ENOSYS" or "SIGSYS" in (ran.error or "")

    async def test_limits_cannot_be_raised(self, pool: Pool) -> None:
        code = """
import resource
raised = []
for number in resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE:
    _, hard = resource.getrlimit(number)
    try: resource.setrlimit(number, (hard + 1, hard + 1))
    except (ValueError, OSError): continue
    raised.append(number)
set_result(raised)
"""
        assert await pool.result(code) == []

    async def test_devices_are_the_harmless_ones_and_no_others_can_be_made(self, pool: Pool) -> None:
        code = """
import os, stat
found = set()
for folder, _, names in os.walk("/dev"):
    for name in names:
        try: status = os.stat(os.path.join(folder, name))
        except OSError: continue
        if stat.S_ISBLK(status.st_mode): found.add("a disk")
        if stat.S_ISCHR(status.st_mode): found.add(f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
set_result(sorted(found))
"""
        # null, zero, full, random, urandom; tty and ptmx lead to terminals of the sandbox, which has none
        assert set(await pool.result(code)) <= {"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2"}
        for kind in ("0o20000", "0o60000"):
            made = await self.attempt(pool, f"os.mknod('/tmp/d', {kind} | 0o666, os.makedev(254, 0))")
            assert made in ("EPERM", "EACCES")

    async def test_a_setuid_bit_raises_nobody(self, pool: Pool) -> None:
        code = """
import os, shutil, subprocess
shutil.copy("/bin/sh", "/tmp/sh"); os.chmod("/tmp/sh", 0o6755)
said = subprocess.run(["/tmp/sh", "-p", "-c", "id -ru; id -u"], capture_output=True, text=True, check=True).stdout
set_result([sorted({*said.split()}), [str(os.getuid())]])
"""
        found, own = await pool.result(code)
        assert found == own
        assert await self.attempt(pool, "os.setuid(0)") in ("EPERM", "EINVAL")
