"""The part of `BackendContract` about what a script has reported that does not reach its end."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import RecordingRun, never_answers

REPORT = "set_result(0); memory.set('job', 'last', 0); set_result({'done': 1}); memory.set('job', 'last', 1)\n"
REPORTED = ({"done": 1}, {"job.last": 1})
CRASHES = {
    "os._exit": "import os; os._exit(1)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "closed frame socket": "import os; os.close(3); os._exit(1)",
}


@pytest.mark.anyio
class PartialResults(BackendBench):
    """The last result and the memory updates until then."""

    @needs("runs_code", "partial_results")
    async def test_cancelled_script_leaves_what_it_has_reported(self, shared: Backend[Any]) -> None:
        run = RecordingRun(never_answers)
        running = self.begin(shared, f"{REPORT}llm.complete('?')\nset_result(2)", run)
        await self.until(running, run, lambda run: run.requests)
        await self.cancelled(running)
        assert run.kept == REPORTED

    @needs("runs_code", "partial_results")
    async def test_cancelled_script_that_computes_leaves_what_it_has_reported(self, shared: Backend[Any]) -> None:
        run = RecordingRun(["go on"])
        endless = "memory.set('job', 'last', 2)\nprint('computing', flush=True)\nwhile True: set_result([])"
        running = self.begin(shared, f"{REPORT}llm.complete('?')\n{endless}", run)
        await self.until(running, run, lambda run: "computing" in run.stdout)
        await self.cancelled(running)
        assert run.kept is not None
        assert run.kept[0] in ({"done": 1}, [])

    @needs("runs_code", "partial_results")
    async def test_script_that_has_reported_nothing_leaves_nothing(self, shared: Backend[Any]) -> None:
        run = RecordingRun(never_answers)
        running = self.begin(shared, "llm.complete('?')", run)
        await self.until(running, run, lambda run: run.requests)
        await self.cancelled(running)
        assert run.kept in (None, (None, {}))

    @needs("runs_code", "partial_results")
    @pytest.mark.parametrize("code", CRASHES.values(), ids=CRASHES)
    async def test_crash_leaves_what_was_reported(self, shared: Backend[Any], code: str) -> None:
        outcome, _ = await self.run(shared, REPORT + code)
        assert outcome.error_type == "script_error"
        assert (outcome.result, dict(outcome.memory_updates)) == REPORTED

    @needs("limits.memory", "partial_results")
    async def test_script_over_limits_memory_leaves_what_it_has_reported(self) -> None:
        async with self.up(memory=128 << 20) as backend:
            outcome, _ = await self.run(backend, f"{REPORT}held = [b'x' * (1 << 20) * (n > -1) for n in range(1024)]")
        assert outcome.error_type in ("memory_limit", "worker_lost")  # which one, other tests say
        assert (outcome.result, dict(outcome.memory_updates)) == REPORTED
