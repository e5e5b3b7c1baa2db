"""The part of `BackendContract` about limits: one test for each key that a backend may list in `enforces`."""

from __future__ import annotations

from typing import Final

import pytest

from .base import BackendBench
from .capabilities import needs

WRITE: Final = """
import tempfile
try:
    with tempfile.TemporaryFile(buffering=0) as file:
        while file.tell() < 8 << 20: file.write(b'x' * (1 << 16))
except OSError as error:
    set_result(error.strerror)
"""


@pytest.mark.anyio
class HeldLimits(BackendBench):
    """Small limits, and scripts that exceed them."""

    @needs("limits.memory")
    async def test_script_over_limits_memory_ends_as_memory_limit(self) -> None:
        async with self.up(memory=128 << 20) as backend:
            outcome, _ = await self.run(backend, "held = [b'x' * (1 << 20) * (n > -1) for n in range(1024)]")
        assert outcome.error_type == "memory_limit"
        assert "limits.memory" in (outcome.error or "")

    @needs("limits.memory")
    async def test_job_after_one_over_limits_memory_works(self) -> None:
        async with self.up(memory=128 << 20) as backend:
            await self.run(backend, "held = [b'x' * (1 << 20) * (n > -1) for n in range(1024)]")
            assert await self.result_of(backend, "set_result('fine')") == "fine"

    @needs("limits.processes")
    async def test_fork_over_limits_processes_fails_and_the_children_end(self) -> None:
        code = """
import os, time
made = 0
try:
    for made in range(200):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
except OSError as error:
    set_result([made, type(error).__name__])
"""
        async with self.up(processes=16) as backend:
            made, error = await self.result_of(backend, code)
        assert 1 <= made <= 16
        assert error == "BlockingIOError"

    @needs("limits.files")
    async def test_open_over_limits_files_fails(self) -> None:
        code = """
held = []
try:
    while len(held) < 1000: held.append(open('/dev/null'))
except OSError as error:
    set_result([len(held), error.strerror])
"""
        async with self.up(files=64) as backend:
            held, error = await self.result_of(backend, code)
        assert held <= 64
        assert error == "Too many open files"

    @needs("limits.file_size")
    async def test_write_over_limits_file_size_fails(self) -> None:
        async with self.up(file_size=1 << 20) as backend:
            assert await self.result_of(backend, WRITE) == "File too large"

    @needs("limits.scratch")
    async def test_write_over_limits_scratch_fails(self) -> None:
        async with self.up(scratch=2 << 20) as backend:
            assert await self.result_of(backend, WRITE) == "No space left on device"

    @needs("limits.cpus")
    async def test_script_gets_no_more_than_limits_cpus(self) -> None:
        code = """
import time
begin = time.monotonic()
while time.monotonic() - begin < 2: pass
set_result(time.process_time())
"""
        async with self.up(cpus=0.25) as backend:
            assert await self.result_of(backend, code) < 1.0

    @needs("limits.cpus")
    async def test_processes_that_wake_all_the_time_get_no_more_than_limits_cpus_together(self) -> None:
        """The weight of a control group does not bound them: Linux hardly charges what they use to it."""
        code = """
import os, resource, time
begin = time.monotonic()
for _ in range(8):
    if os.fork() == 0:
        while time.monotonic() - begin < 2:
            for _ in range(5000): pass
            time.sleep(0.0001)
        os._exit(0)
for _ in range(8): os.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
set_result(used.ru_utime + used.ru_stime)
"""
        async with self.up(cpus=0.1) as backend:
            assert await self.result_of(backend, code) < 0.6
