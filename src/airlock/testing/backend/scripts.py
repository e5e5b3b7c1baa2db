"""The part of `BackendContract` for backends that run code: what a script sees, and what it leaves behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.recording import RecordingRun

from .base import BackendBench
from .canary import Canary
from .capabilities import needs


@pytest.mark.anyio
class Scripts(BackendBench):
    """Result, output, settings, memory, and every way to end."""

    @needs("runs_code")
    async def test_result_is_what_set_result_was_given(self, shared: Backend[Any]) -> None:
        result = await self.result_of(shared, "set_result({'a': [1, 2.5, None, True, 'é😀']})")
        assert result == {"a": [1, 2.5, None, True, "é😀"]}

    @needs("runs_code")
    async def test_last_result_counts(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, "set_result(1); set_result(2)") == 2

    @needs("runs_code")
    async def test_script_without_a_result_has_none(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, "pass") is None

    @needs("runs_code")
    async def test_script_is_main(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, "set_result(__name__)") == "__main__"

    @needs("runs_code")
    async def test_stdout_and_stderr_are_told_apart(self, shared: Backend[Any]) -> None:
        _, run = await self.run(shared, "import sys; print('out'); print('err', file=sys.stderr)")
        assert (run.stdout, run.stderr) == ("out\n", "err\n")

    @needs("runs_code")
    async def test_output_is_utf_8(self, shared: Backend[Any]) -> None:
        _, run = await self.run(shared, "print('héllo 😀 中')")
        assert run.output["stdout"] == "héllo 😀 中\n".encode()

    @needs("runs_code")
    async def test_output_that_is_not_text_arrives_as_it_is(self, shared: Backend[Any]) -> None:
        _, run = await self.run(shared, "import sys; sys.stdout.buffer.write(bytes(range(256)))")
        assert run.output["stdout"] == bytes(range(256))

    @needs("runs_code")
    async def test_much_output_arrives_whole_and_in_order(self, shared: Backend[Any]) -> None:
        _, run = await self.run(shared, "for n in range(50_000): print(n)")
        assert run.stdout == "".join(f"{n}\n" for n in range(50_000))

    @needs("runs_code")
    async def test_exception_is_a_script_error_with_the_scripts_own_lines(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "def divide(by):\n    return 1 / by\n\ndivide(0)")
        assert (outcome.error, outcome.error_type) == ("ZeroDivisionError: division by zero", "script_error")
        assert "line 4, in <module>\n    divide(0)\n" in run.stderr
        assert "return 1 / by" in run.stderr
        assert run.stderr.endswith("ZeroDivisionError: division by zero\n")

    @needs("runs_code")
    async def test_syntax_error_is_a_script_error(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "print('never')\ndef (:")
        assert outcome.error_type == "script_error"
        assert "SyntaxError" in (outcome.error or "")
        assert run.stdout == ""
        assert "line 2" in run.stderr

    @needs("runs_code")
    async def test_exception_keeps_output_result_and_memory(self, shared: Backend[Any]) -> None:
        code = "print('so far'); set_result(1); memory.set('a', 'b', 2); raise ValueError('no')"
        outcome, run = await self.run(shared, code)
        assert (outcome.error, outcome.error_type) == ("ValueError: no", "script_error")
        assert (run.stdout, outcome.result, dict(outcome.memory_updates)) == ("so far\n", 1, {"a.b": 2})

    @needs("runs_code")
    async def test_exit_0_succeeds(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, "import sys; set_result('early'); sys.exit(0)") == "early"

    @needs("runs_code")
    async def test_exit_3_is_a_script_error(self, shared: Backend[Any]) -> None:
        outcome, _ = await self.run(shared, "import sys; sys.exit(3)")
        assert outcome.error_type == "script_error"
        assert "3" in (outcome.error or "")

    @needs("runs_code")
    async def test_exit_from_c_with_7_is_an_error(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, "import os; print('before'); os._exit(7)")
        assert outcome.error_type == "script_error"
        assert run.stdout == "before\n"

    @needs("runs_code")
    async def test_script_that_kills_itself_is_an_error(self, shared: Backend[Any]) -> None:
        code = "import os, signal; print('before'); os.kill(os.getpid(), signal.SIGKILL)"
        outcome, run = await self.run(shared, code)
        assert outcome.error_type in ("script_error", "worker_lost")
        assert run.stdout == "before\n"

    @needs("runs_code")
    @pytest.mark.parametrize("value", ["object()", "[1j]", "'\\ud800'"])
    async def test_result_that_is_not_json_is_a_script_error(self, shared: Backend[Any], value: str) -> None:
        outcome, run = await self.run(shared, f"set_result({value})")
        assert outcome.error_type == "script_error"
        assert "set_result" in run.stderr

    @needs("runs_code")
    async def test_settings_can_be_read(self, shared: Backend[Any]) -> None:
        code = "set_result([settings.get('A'), settings.get('B'), settings.get('B', 'else'), sorted(settings.keys())])"
        assert await self.result_of(shared, code, settings={"A": "1", "C": "2"}) == ["1", None, "else", ["A", "C"]]

    @needs("runs_code")
    async def test_memory_can_be_read_and_changes_are_reported(self, shared: Backend[Any]) -> None:
        code = """
before = memory.get('runs', 'count')
memory.set('runs', 'count', before + 1)
memory.set('runs', 'last', {'ok': [True]})
set_result([before, memory.get('runs', 'count'), memory.get('runs', 'none', 'else')])
"""
        outcome, _ = await self.run(shared, code, memory={"runs.count": 1, "other.key": "kept"})
        assert outcome.result == [1, 2, "else"]
        assert dict(outcome.memory_updates) == {"runs.count": 2, "runs.last": {"ok": [True]}}

    @needs("runs_code", "streams_output")
    async def test_output_can_be_seen_while_the_script_runs(self, shared: Backend[Any]) -> None:
        run = RecordingRun()
        running = self.begin(shared, "print('partial')\nwhile True: pass", run)
        await self.until(running, run, lambda run: run.stdout == "partial\n")
        await self.cancelled(running)

    @needs("runs_code")
    async def test_cancelled_script_leaves_what_it_wrote(self, shared: Backend[Any]) -> None:
        run = RecordingRun()
        running = self.begin(shared, "print('partial')\nwhile True: pass", run)
        await self.started(running, run)
        await asyncio.sleep(1)  # more than any script needs to print
        await self.cancelled(running)
        assert run.stdout == "partial\n"

    @needs("runs_code")
    @pytest.mark.parametrize(
        "code",
        [
            "while True: pass",
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
            "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(600)",
            "while True: print('x' * 10_000)",
        ],
        ids=["loop", "catches everything", "ignores signals", "floods"],
    )
    async def test_script_that_will_not_end_is_ended(self, shared: Backend[Any], code: str) -> None:
        run = RecordingRun()
        running = self.begin(shared, code, run)
        await self.started(running, run)
        await asyncio.sleep(0.2)  # into the loop
        await self.cancelled(running)

    @needs("runs_code")
    async def test_cancelled_script_does_not_run_on(self, shared: Backend[Any]) -> None:
        canary, run = Canary(), RecordingRun()
        code = f"{canary.code}\nprint('there')\nimport time\nwhile True: time.sleep(0.01)"
        running = self.begin(shared, code, run)
        if "streams_output" in self.capabilities:
            await self.until(running, run, lambda run: run.stdout)
        await self.started(running, run)
        can_be_seen = await canary.appears()
        await self.cancelled(running)
        if not can_be_seen:
            pytest.skip("processes of this sandbox are not visible from here")
        is_gone = await canary.vanishes(self._kill_patience)
        assert is_gone, "the script still runs after it was cancelled: execute(), or the worker's stop(), must kill it"

    @needs("runs_code", "subprocesses")
    async def test_output_of_a_program_is_captured(self, shared: Backend[Any]) -> None:
        code = "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo child; echo woe >&2'], check=True)"
        _, run = await self.run(shared, code)
        assert (run.stdout, run.stderr) == ("child\n", "woe\n")

    @needs("runs_code", "subprocesses")
    async def test_child_does_not_outlive_the_script(self, shared: Backend[Any]) -> None:
        canary = Canary()
        code = f"""
import os, time
if os.fork() == 0:
    {canary.code}
    time.sleep(600)
    os._exit(0)
set_result(llm.complete('seen?'))
"""
        await self.check_that_it_dies(shared, canary, code)

    @needs("runs_code", "subprocesses")
    async def test_child_cannot_speak_for_the_script(self, shared: Backend[Any]) -> None:
        code = """
import os
child = os.fork()
if child == 0:
    try:
        set_result('forged')
    except RuntimeError:
        os._exit(0)
    os._exit(1)
_, status = os.waitpid(child, 0)
set_result(os.waitstatus_to_exitcode(status))
"""
        assert await self.result_of(shared, code) == 0
