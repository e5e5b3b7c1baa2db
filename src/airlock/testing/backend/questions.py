"""The part of `BackendContract` about `llm.complete`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airlock.backends import Backend
from airlock.errors import LLMError
from airlock.models import LLMRequest
from airlock.testing.recording import RecordingRun, never_answers

from .base import BackendBench
from .capabilities import needs


@pytest.mark.anyio
class Questions(BackendBench):
    """A script asks an LLM, and continues with the answer."""

    @needs("runs_code")
    async def test_answer_is_returned_to_the_script(self, shared: Backend[Any]) -> None:
        code = "set_result(llm.complete('6 × 7?', model='tiny'))"
        outcome, run = await self.run(shared, code, answers=["zweiundvierzig €"])
        assert outcome.result == "zweiundvierzig €"
        assert run.requests == [LLMRequest(prompt="6 × 7?", model="tiny")]

    @needs("runs_code")
    async def test_model_is_default_unless_named(self, shared: Backend[Any]) -> None:
        _, run = await self.run(shared, "llm.complete('?')", answers=["!"])
        assert run.requests == [LLMRequest(prompt="?", model="default")]

    @needs("runs_code")
    async def test_questions_one_after_the_other(self, shared: Backend[Any]) -> None:
        code = "set_result([llm.complete(str(n)) for n in range(3)])"
        assert await self.result_of(shared, code, answers=["a", "b", "c"]) == ["a", "b", "c"]

    @needs("runs_code")
    async def test_answer_of_1_mib_arrives(self, shared: Backend[Any]) -> None:
        code = "set_result(len(llm.complete('long?')))"
        assert await self.result_of(shared, code, answers=["x" * (1 << 20)]) == 1 << 20

    @needs("runs_code")
    async def test_error_for_an_answer_is_raised_in_the_script(self, shared: Backend[Any]) -> None:
        code = "try:\n    llm.complete('?')\nexcept LLMError as error:\n    set_result(str(error))"
        assert await self.result_of(shared, code, answers=[LLMError("no budget")]) == "no budget"

    @needs("runs_code")
    async def test_error_for_an_answer_that_is_not_caught_is_a_script_error(self, shared: Backend[Any]) -> None:
        outcome, _ = await self.run(shared, "llm.complete('?')", answers=[LLMError("no budget")])
        assert (outcome.error, outcome.error_type) == ("LLMError: no budget", "script_error")

    @needs("runs_code")
    async def test_questions_of_threads_are_open_at_once_and_get_their_own_answers(self, shared: Backend[Any]) -> None:
        code = """
import threading
answers = {}
def ask(prompt):
    answers[prompt] = llm.complete(prompt)
threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in ('a', 'b', 'c')]
for thread in threads: thread.start()
for thread in threads: thread.join()
set_result(answers)
"""
        all_open = asyncio.Barrier(3)

        async def answer(request: LLMRequest) -> str:
            await all_open.wait()
            return f"to {request.prompt}"

        result = await self.result_of(shared, code, answers=answer)
        assert result == {"a": "to a", "b": "to b", "c": "to c"}

    @needs("runs_code", "streams_output")
    async def test_output_before_a_question_is_there_with_the_question(self, shared: Backend[Any]) -> None:
        code = """
import sys
for n in range(20):
    print('read this', n)
    print('and this', n, end=', ', file=sys.stderr)
    llm.complete(str(n))
"""
        seen = []

        async def answer(request: LLMRequest) -> str:
            seen.append((run.stdout, run.stderr))
            return request.prompt

        run = RecordingRun(answer)
        outcome = await self.end(self.begin(shared, code, run), run)
        assert outcome.error is None, run.stderr
        numbers = [range(n + 1) for n in range(20)]
        assert [stdout for stdout, _ in seen] == ["".join(f"read this {i}\n" for i in before) for before in numbers]
        assert [stderr for _, stderr in seen] == ["".join(f"and this {i}, " for i in before) for before in numbers]

    @needs("runs_code")
    async def test_cancelled_while_it_waits_for_an_answer(self, shared: Backend[Any]) -> None:
        run = RecordingRun(never_answers)
        running = self.begin(shared, "llm.complete('?')", run)
        await self.until(running, run, lambda run: run.requests)
        await self.cancelled(running)

    @needs("runs_code")
    async def test_script_ends_while_a_question_is_open(self, shared: Backend[Any]) -> None:
        code = """
import threading, time
threading.Thread(target=llm.complete, args=('?',), daemon=True).start()
time.sleep(0.5)
"""
        outcome, _ = await self.run(shared, code, answers=never_answers)
        assert outcome.error is None

    @needs("runs_code")
    async def test_scale_to_0_lets_a_running_script_finish(self, backend: Backend[Any]) -> None:
        is_down = asyncio.Event()

        async def answer(_: LLMRequest) -> str:
            await is_down.wait()
            return "go on"

        run = RecordingRun(answer)
        running = self.begin(backend, "set_result(llm.complete('?'))", run)
        await self.until(running, run, lambda run: run.requests)
        await asyncio.wait_for(backend.scale(0), self.patience)
        is_down.set()
        assert (await self.end(running, run)).result == "go on"
