"""While a script waits for an LLM answer its clock stops, but its CPU time stays limited."""

from __future__ import annotations

import asyncio

import pytest

from airlock.models import LLMRequest
from airlock.testing.backend.capabilities import needs
from airlock.testing.recording import never_answers

from .arena import Arena
from .canaries import Pool

SPINNING = {
    "children": """
import os
for _ in range(4):
    if os.fork() == 0:
        while True: pass
""",
    "children one after the other": """
import os, threading
def spin():
    while True:
        pid = os.fork()
        if pid == 0:
            for _ in range(10 ** 6): pass
            os._exit(0)
        os.waitpid(pid, 0)
threading.Thread(target=spin, daemon=True).start()
""",
    "thread": """
import threading
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
""",
}


@pytest.mark.anyio
class Pauses(Arena):
    """An open LLM request does not hide computing."""

    @needs("counts_cpu_time")
    @pytest.mark.parametrize("spin", SPINNING.values(), ids=SPINNING)
    async def test_computing_on_behind_a_pause_ends_at_what_the_timeout_has_left(self, pool: Pool, spin: str) -> None:
        ran = await pool.run(f"{spin}\nllm.complete('x')", answer=never_answers, timeout=1)
        assert ran.error_type == "cpu_limit"
        # A limit for one process would say "allows".
        assert "than its timeout of 1 s had left (limits.timeout)" in (ran.error or "")

    @needs("counts_cpu_time")
    async def test_many_short_pauses_count_together(self, pool: Pool) -> None:
        async def answer(_: LLMRequest) -> str:
            await asyncio.sleep(0.2)
            return "soon"

        code = f"{SPINNING['children']}\nfor n in range(100): llm.complete(str(n))"
        ran = await pool.run(code, answer=answer, timeout=1)
        assert ran.error_type == "cpu_limit"
        assert len(ran.run.requests) < 50

    async def test_a_busy_script_may_still_wait_for_as_long_as_it_likes(self, pool: Pool) -> None:
        async def answer(_: LLMRequest) -> str:
            await asyncio.sleep(1.5)
            return "late"

        busy = "import time\nbegun = time.monotonic()\nwhile time.monotonic() - begun < 0.5: pass\n"
        ran = await pool.run(f"{busy}set_result(llm.complete('x'))", answer=answer, timeout=1)
        assert ran.result == "late"

    @needs("counts_cpu_time")
    async def test_a_script_that_kills_itself_after_a_long_pause_used_no_cpu_time(self, pool: Pool) -> None:
        async def answer(_: LLMRequest) -> str:
            await asyncio.sleep(2.5)
            return "late"

        ran = await pool.run("import os\nllm.complete('x')\nos.kill(os.getpid(), 9)", answer=answer, timeout=1)
        assert (ran.error_type, ran.error) == ("script_error", "the script was killed by SIGKILL")
