"""The part of `BackendContract` about where a script was when it was ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import RecordingRun, never_answers

BEGUN = "print('begun', flush=True)\n"
PLACES = {
    "function": (f"import time\ndef work():\n    time.sleep(600)\n{BEGUN}work()", "3 in work"),
    "C code": (f"{BEGUN}sum(range(10**15))", "2"),
    "library": (f"import threading\n{BEGUN}threading.Event().wait()", "3"),
    "answer": (f"{BEGUN}llm.complete('?')", "2"),
    "amid a line of stderr": (f"import sys, time\nsys.stderr.write('50 %')\n{BEGUN}time.sleep(600)", "4"),
    "another thread": (
        f"import threading, time\ndef work():\n    time.sleep(600)\nthreading.Thread(target=work).start()\n{BEGUN}",
        "3 in work",
    ),
}
FORGED = "Current thread 0x00000001 (most recent call first):\\n" + '  File "/workspace/x.py", line 1 in ' + "y" * 500
RESISTING = {
    "blocks signals": "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "handles signals": "import signal\nsignal.signal(signal.SIGRTMAX, lambda *_: print('still there'))",
    "ignores signals": "import signal\nsignal.signal(signal.SIGRTMAX, signal.SIG_IGN)",
    "has no stderr": "import os\nos.close(2)",
    "has another stderr": "import os\nos.dup2(os.open('stderr', os.O_CREAT | os.O_RDWR), 2)",
    "is stopped": "import os, threading\nthreading.Timer(0.1, os.kill, (os.getpid(), 19)).start()",
    "forges a stack": f"import os\nif os.fork() == 0:\n    while True: os.write(2, b'{FORGED}\\n')",
}


@pytest.mark.anyio
class Place(BackendBench):
    """It is told if the script lets it, and ending a script never depends on that."""

    @needs("runs_code", "place")
    @pytest.mark.parametrize(("code", "place"), PLACES.values(), ids=PLACES)
    async def test_place_of_a_script_that_is_ended_is_told(self, shared: Backend[Any], code: str, place: str) -> None:
        run = await self.end_early(shared, code)
        assert run.notes == [f"it was at /workspace/main.py:{place}"], run.stderr
        assert f'File "/workspace/main.py", line {place.split(maxsplit=1)[0]} in ' in run.stderr
        assert "airlock" not in run.stderr

    @needs("runs_code", "place", "subprocesses")
    @pytest.mark.parametrize("code", RESISTING.values(), ids=RESISTING)
    async def test_script_that_resists_telling_its_place_is_ended(self, shared: Backend[Any], code: str) -> None:
        run = await self.end_early(shared, f"{code}\nimport time\n{BEGUN}while True: time.sleep(600)")
        assert all(len(note) < 300 for note in run.notes)

    async def end_early(self, backend: Backend[Any], code: str) -> RecordingRun:
        """Run a script, and cancel it once it has printed."""
        run = RecordingRun(never_answers)
        running = self.begin(backend, code, run)
        async with asyncio.timeout(self.patience):
            await run.until(lambda run: run.stdout or running.done())
        await asyncio.sleep(0.2)  # to get where it stays
        assert not running.done(), run.stderr
        await self.cancelled(running)
        assert run.faults == []
        return run
