"""The part of `BackendContract` about a script's standard streams: what it finds, and when its output is seen."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import RecordingRun


@pytest.mark.anyio
class Streams(BackendBench):
    """The streams of a script are those of CPython on pipes, but what is printed is soon seen."""

    @needs("runs_code", "python_main")
    async def test_streams_are_those_of_cpython_on_pipes(self, shared: Backend[Any]) -> None:
        code = """
import io, sys
def facts(stream):
    same = getattr(sys, stream.name.strip('<>')) is getattr(sys, f"__{stream.name.strip('<>')}__")
    return [stream.name, stream.mode, stream.encoding, stream.errors, stream.buffer.raw.name, stream.fileno(), same]
assert all(type(s) is io.TextIOWrapper for s in (sys.stdin, sys.stdout, sys.stderr))
assert type(sys.stdout.buffer) is io.BufferedWriter and type(sys.stdout.buffer.raw) is io.FileIO
assert not sys.stdout.seekable() and not sys.stderr.seekable() and sys.stdin.read() == ''
set_result([facts(sys.stdin), facts(sys.stdout), facts(sys.stderr)])
"""
        assert await self.result_of(shared, code) == [
            ["<stdin>", "r", "utf-8", "surrogateescape", "<stdin>", 0, True],
            ["<stdout>", "w", "utf-8", "surrogateescape", "<stdout>", 1, True],
            ["<stderr>", "w", "utf-8", "backslashreplace", "<stderr>", 2, True],
        ]

    @needs("runs_code", "python_main")
    async def test_stdout_can_be_reconfigured_wrapped_and_detached(self, shared: Backend[Any]) -> None:
        code = """
import io, sys
sys.stdout.reconfigure(encoding='ascii', errors='xmlcharrefreplace'); print('é')
sys.stdout.reconfigure(encoding='utf-8', newline='\\r\\n'); print('é')
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-16-le'); print('é', flush=True)
sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='latin-1', errors='replace'); print('é €')
"""
        outcome, run = await self.run(shared, code)
        assert outcome.error is None, run.stderr
        assert run.output["stdout"] == b"&#233;\n" + "é\r\n".encode() + "é\n".encode("utf-16-le") + b"\xe9 ?\n"

    @needs("runs_code", "python_main")
    async def test_errors_of_the_streams_are_those_of_cpython(self, shared: Backend[Any]) -> None:
        code = "import sys; print('\\udc80'); print('\\ud800', file=sys.stderr); print('\\ud800')"
        outcome, run = await self.run(shared, code)
        assert (outcome.error or "").startswith("UnicodeEncodeError:")
        assert run.output["stdout"] == b"\x80\n"
        assert run.stderr.startswith("\\ud800\n")

    @needs("runs_code", "python_main", "streams_output")
    @pytest.mark.parametrize("then", ["while True: pass", "import time; time.sleep(600)"])
    async def test_last_of_many_lines_is_seen_while_the_script_goes_on(self, shared: Backend[Any], then: str) -> None:
        """Many lines are written in blocks, of which the last is seldom full."""
        run = RecordingRun()
        code = f"import sys\nfor n in range(5000): print(n)\nprint(sys.stdout.line_buffering)\n{then}"
        running = self.begin(shared, code, run)
        await self.until(running, run, lambda run: run.stdout.endswith("4999\nFalse\n"))
        await self.cancelled(running)

    @needs("runs_code", "python_main", "streams_output")
    async def test_each_line_is_seen_after_many_lines(self, shared: Backend[Any]) -> None:
        run = RecordingRun()
        code = """
import sys, time
for n in range(5000): print(n)
while not sys.stdout.line_buffering: time.sleep(0.01)
print('one more')
while True: pass
"""
        running = self.begin(shared, code, run)
        await self.until(running, run, lambda run: run.stdout.endswith("one more\n"))
        await self.cancelled(running)

    @needs("runs_code", "python_main", "subprocesses")
    async def test_fork_after_many_lines_repeats_none_and_has_one_thread(self, shared: Backend[Any]) -> None:
        code = """
import os, sys
for n in range(5000): print(n)
child = os.fork()
if child == 0:
    print('child', sys.stdout.line_buffering, os.listdir('/proc/self/task') == [str(os.getpid())])
    os._exit(0)
os.waitpid(child, 0)
print('parent')
"""
        outcome, run = await self.run(shared, code)
        assert outcome.error is None, run.stderr
        assert run.stdout == "".join(f"{n}\n" for n in range(5000)) + "child True True\nparent\n"

    @needs("runs_code", "python_main")
    async def test_many_lines_of_threads_stay_whole(self, shared: Backend[Any]) -> None:
        code = """
import threading
def work(name):
    for n in range(3000): print(f'{name}{n:040}\\n', end='')
for n in range(500): print(n)
threads = [threading.Thread(target=work, args=(name,)) for name in 'abcd']
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
        _, run = await self.run(shared, code)
        expected = [f"{name}{n:040}" for name in "abcd" for n in range(3000)]
        assert sorted(run.stdout.splitlines()[500:]) == expected
