"""The LLM requests of a run: limits, the mediator, the agent."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.running.bench import Benches, Script, asks, endless, quick, status_is, until

from airlock import LLMRequest, Outcome, Run
from airlock.errors import LLMError, NotAwaitingLLM
from airlock.executions import Answer
from airlock.models import ExecutionStatus

pytestmark = pytest.mark.anyio


async def test_question_is_shown_and_the_answer_goes_to_the_script(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    shown = live.execution.llm_request
    assert shown is not None
    assert (live.execution.status.value, shown.id, shown.prompt) == ("awaiting_llm", 1, "?")
    await live.answer(Answer("42"))
    assert live.execution.llm_requests == ()
    done = await one.end_of(live)
    assert (done.status.value, done.result) == ("completed", "42")


async def test_open_questions_are_answered_in_the_order_of_asking(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        answers = await asyncio.gather(*(run.complete(LLMRequest(prompt=p)) for p in ("a", "b", "c")))
        return Outcome(result=answers)

    one = bench()
    live = await one.launch(script)
    await until(lambda: len(live.execution.llm_requests) == 3)
    seen = []
    for number in range(3):
        shown = live.execution.llm_request
        assert shown is not None
        seen.append((live.execution.status.value, shown.prompt))
        await live.answer(Answer(str(number)))
    done = await one.end_of(live)
    assert seen == [("awaiting_llm", "a"), ("awaiting_llm", "b"), ("awaiting_llm", "c")]
    assert done.result == ["0", "1", "2"]


async def test_answer_reaches_its_thread_while_others_are_open(bench: Benches) -> None:
    got: list[str] = []

    async def script(run: Run) -> Outcome:
        await run.started()

        async def ask(prompt: str) -> None:
            got.append(await run.complete(LLMRequest(prompt=prompt)))

        await asyncio.gather(ask("a"), ask("b"))
        return Outcome()

    one = bench(replicas=1)
    live = await one.launch(script)
    await until(lambda: len(live.execution.llm_requests) == 2)
    await live.answer(Answer("to a"))
    await until(lambda: got == ["to a"])
    assert live.execution.status.value == "awaiting_llm"


async def test_questions_one_after_the_other_are_numbered(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        return Outcome(result=[await run.complete(LLMRequest(prompt=str(n))) for n in range(3)])

    one = bench()
    live = await one.launch(script)
    for number in range(3):
        await asyncio.wait_for(live.settled(), 20)
        assert [request.id for request in live.execution.llm_requests] == [number + 1]
        await live.answer(Answer("ok"))
    assert (await one.end_of(live)).result == ["ok"] * 3


@pytest.mark.parametrize("script", [endless, quick])
async def test_answer_when_nothing_is_asked_is_refused(bench: Benches, script: Script) -> None:
    one = bench()
    live = await one.launch(script)
    await until(lambda: live.execution.status.value in ("running", "completed"))
    with pytest.raises(NotAwaitingLLM, match=live.execution.status.value):
        await live.answer(Answer("unasked"))


async def test_second_answer_is_refused(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    await live.answer(Answer("first"))
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("second"))
    assert (await one.end_of(live)).result == "first"


async def test_question_that_nobody_answers_ends_it_as_llm_timeout(bench: Benches) -> None:
    one = bench(llm_timeout=0.1)
    done = await one.run(asks)
    assert (done.status.value, done.error_type, done.llm_requests) == ("timeout", "llm_timeout", ())
    assert done.error == "the LLM request was not answered within limits.llm_timeout (0.1 s)"
    assert one.slots.free == 1


async def test_end_while_paused_closes_the_question(bench: Benches) -> None:
    one = bench()
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    live.end(ExecutionStatus.error, "cancelled", "enough")
    done = await one.end_of(live)
    assert (done.error_type, done.llm_requests, one.slots.free) == ("cancelled", (), 1)
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("too late"))


async def test_question_that_is_open_when_the_script_ends_is_closed(bench: Benches) -> None:
    asking: list[asyncio.Task[str]] = []

    async def script(run: Run) -> Outcome:
        await run.started()
        asking.append(asyncio.create_task(run.complete(LLMRequest(prompt="?"))))
        await asyncio.sleep(0.05)
        return Outcome(result="done without it")

    one = bench()
    done = await one.run(script)
    assert (done.status.value, done.result, done.llm_requests) == ("completed", "done without it", ())
    await asyncio.wait(asking, timeout=20)
    assert asking[0].cancelled()
    assert one.slots.free == 1


async def test_one_question_too_many_is_llm_limit(bench: Benches) -> None:
    async def answer(request: LLMRequest, _: Any) -> str:
        return request.prompt

    async def script(run: Run) -> Outcome:
        await run.started()
        while True:
            await run.complete(LLMRequest(prompt="again"))

    done = await bench(mediate=answer, llm_calls=3).run(script)
    assert (done.status.value, done.error_type) == ("error", "llm_limit")
    assert done.error == "the script made more LLM requests than limits.llm_calls allows (3)"


async def test_prompt_over_the_limit_is_llm_limit_even_if_the_script_catches_it(bench: Benches) -> None:
    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="é" * 6))
        except LLMError:
            return Outcome(result="caught")
        return Outcome()

    done = await bench(prompt=10).run(script)
    assert (done.status.value, done.error_type, done.result) == ("error", "llm_limit", None)
    assert done.error == "a prompt of 12 bytes exceeds limits.prompt (10B)"


async def test_mediator_that_answers_itself_never_shows_awaiting_llm(bench: Benches) -> None:
    shown: list[str] = []

    async def answer(request: LLMRequest, _: Any) -> str:
        shown.append(one.lives[0].execution.status.value)
        await asyncio.sleep(1.2)  # longer than the timeout: whoever answers, the clock stands still
        return f"to {request.prompt}"

    one = bench(mediate=answer)
    done = await one.run(asks, timeout=1)
    assert (done.status.value, done.result, shown) == ("completed", "to ?", ["running"])


async def test_error_of_a_mediator_is_raised_in_the_script(bench: Benches) -> None:
    async def refuse(request: LLMRequest, _: Any) -> str:
        raise LLMError(f"no answer to {request.prompt}")

    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="?"))
        except LLMError as error:
            return Outcome(result=str(error))
        return Outcome()

    assert (await bench(mediate=refuse).run(script)).result == "no answer to ?"


async def test_mediator_that_fails_is_an_error_in_the_script_and_logged(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: LLMRequest, __: Any) -> str:
        raise RuntimeError("secret of the mediator")

    async def script(run: Run) -> Outcome:
        await run.started()
        try:
            await run.complete(LLMRequest(prompt="?"))
        except LLMError as error:
            return Outcome(result=str(error))
        return Outcome()

    assert (await bench(mediate=fail).run(script)).result == "the mediator failed"
    assert "RuntimeError: secret of the mediator" in caplog.text


async def test_mediator_that_gives_up_on_the_agent_withdraws_the_question(bench: Benches) -> None:
    async def impatient(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        try:
            return await asyncio.wait_for(ask_agent(request), 0.1)
        except TimeoutError:
            await asyncio.sleep(0.1)
            return "a guess"

    one = bench(mediate=impatient)
    live = await one.launch(asks)
    await until(status_is(live, "awaiting_llm"))
    await until(status_is(live, "running"))
    with pytest.raises(NotAwaitingLLM):
        await live.answer(Answer("too late"))
    assert (await one.end_of(live)).result == "a guess"


async def test_mediator_may_ask_the_agent_something_else(bench: Benches) -> None:
    async def rephrase(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        return "said: " + await ask_agent(LLMRequest(prompt=f"politely, {request.prompt}"))

    one = bench(mediate=rephrase)
    live = await one.launch(asks)
    await asyncio.wait_for(live.settled(), 20)
    assert live.execution.llm_requests[0].request.prompt == "politely, ?"
    await live.answer(Answer("yes"))
    assert (await one.end_of(live)).result == "said: yes"


async def test_mediator_that_asks_the_agent_when_all_is_over_is_refused_quietly(
    bench: Benches, caplog: pytest.LogCaptureFixture
) -> None:
    may_ask = asyncio.Event()
    asking: list[asyncio.Task[str]] = []

    async def slow(request: LLMRequest, ask_agent: Callable[[LLMRequest], Awaitable[str]]) -> str:
        await may_ask.wait()
        return await ask_agent(request)

    async def script(run: Run) -> Outcome:
        await run.started()
        asking.append(asyncio.create_task(run.complete(LLMRequest(prompt="?"))))
        await asyncio.sleep(0.01)
        return Outcome(result="over")

    with caplog.at_level(logging.WARNING):
        done = await bench(mediate=slow).run(script)
        may_ask.set()
        await asyncio.wait(asking, timeout=20)
    assert done.result == "over"
    assert str(asking[0].exception()) == "the execution has finished"
    assert caplog.text == ""
