"""Kernel features that no script needs: privileges, namespaces, dangerous system calls, devices."""

from __future__ import annotations

import errno
import itertools
import os
import platform

import pytest

from airlock.sandbox import seccomp
from airlock.testing.backend.capabilities import needs

from .arena import TRY, Arena
from .canaries import Pool

IS_ARM = os.uname().machine == "aarch64"

NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
UPPER_HALVES = (0, 1 << 32, 0xFFFFFFFF << 32)
REFUSALS = {errno.errorcode.get(rule.error, "0") for rule in seccomp.ARGUMENT_RULES}
X32 = 0x40000000  # the bit of x86_64's second ABI
UPROBES = {335, 336}  # the kernel leaves these two to no filter, and answers only its own trampolines
CLONE = 220 if IS_ARM else 56
CLONE_PARENT = 0x8000
GETPID_OF_32_BITS = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000 cd80 c3"))  # mov eax, 20; int 0x80; ret
set_result(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))())
"""


def _call(rule: seccomp.ArgumentRule, above: tuple[int, ...]) -> str:
    """Return a call that the rule refuses; `above` stands in the upper halves of the registers that it looks at."""
    registers = [0] * 6
    for condition, upper in zip(rule.conditions, above, strict=True):
        match condition:
            case seccomp.Is(position, value) | seccomp.Has(position, value):
                registers[position] = upper | value
            case seccomp.Above(position, value):
                registers[position] = upper | value + 1
    return f"call({seccomp.system_call(rule.call)}, *map(ctypes.c_uint64, {registers}))"


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
        numbers = {name: seccomp.system_call(name) for name in (*seccomp.DENIED, *seccomp.DENIED_BY_NUMBER)}
        calls = {name: f"call({number}, 0, 0, 0, 0, 0)" for name, number in numbers.items() if number >= 0}
        answers = await self.attempts(pool, *calls.values())
        assert {name: answers[expression] for name, expression in calls.items()} == dict.fromkeys(calls, "EPERM")

    @needs("filters_calls")
    async def test_calls_that_the_filter_does_not_know_do_not_exist(self, pool: Pool) -> None:
        """Whatever a later kernel may offer under these numbers."""
        gap = range(seccomp.LAST_OWN[platform.machine()] + 1, seccomp.COMMON)
        later = (*range(seccomp.LATEST + 1, 601), 1023, 1024, 1 << 20, X32 - 1, 0x7FFFFFFF)
        calls = [f"call({number}, 0, 0, 0, 0, 0)" for number in {*gap, *later} - UPROBES]
        assert await self.attempts(pool, *calls) == dict.fromkeys(calls, "ENOSYS")

    @needs("filters_calls")
    async def test_no_rule_is_evaded_by_bits_that_the_kernel_does_not_read(self, pool: Pool) -> None:
        """A call's registers have 64 bits, and an `int` is half of one."""
        expected = {
            _call(rule, above): REFUSALS if any(above) else {errno.errorcode.get(rule.error, "0")}
            for rule in seccomp.ARGUMENT_RULES
            for above in itertools.product(UPPER_HALVES, repeat=len(rule.conditions))
            if seccomp.system_call(rule.call) >= 0
        }
        answers = await self.attempts(pool, *expected)
        assert {call: answer for call, answer in answers.items() if answer not in expected[call]} == {}

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

    @pytest.mark.skipif(IS_ARM, reason="only x86_64 has more than one ABI")
    async def test_a_call_of_a_foreign_abi_is_refused(self, pool: Pool) -> None:
        ran = await pool.run(f"{TRY}\nset_result(attempt(lambda: call({X32} + 39)))")  # getpid of x32
        assert ran.outcome.result == "ENOSYS" or "SIGSYS" in (ran.error or "")
        ran = await pool.run(GETPID_OF_32_BITS)
        if ran.error is None:  # gVisor takes it for a call of 64 bits, which the filter has seen: writev
            assert ran.outcome.result < 0
        else:
            assert "SIGSYS" in ran.error or "SIGSEGV" in ran.error  # a filter, or a kernel that has no such calls

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

    async def test_devices_are_the_harmless_ones(self, pool: Pool) -> None:
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
        # null, zero, full, random, urandom; tty and ptmx lead to the sandbox's own terminals
        assert set(await pool.result(code)) <= {"1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2"}

    async def test_no_devices_can_be_made(self, pool: Pool) -> None:
        """Files, pipes and sockets can."""
        kinds = ("S_IFCHR", "S_IFBLK", "S_IFREG", "S_IFIFO", "S_IFSOCK")
        made = [f"os.mknod('/tmp/{kind}', __import__('stat').{kind} | 0o600, os.makedev(254, 0))" for kind in kinds]
        answers = await self.attempts(pool, *made)
        assert [answers[call] in ("EPERM", "EACCES") for call in made] == [True, True, False, False, False]

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
