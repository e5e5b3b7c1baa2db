"""`run` to its end: what it returns, and who answers which request."""

from __future__ import annotations

import asyncio
import threading
import time

import anyio
import pytest
from tests.client.conftest import PATIENCE

from airlock.api import app
from airlock.client import Airlock, AsyncAirlock, LLMError, OpenLLMRequest
from airlock.models import ExecutionResult, LLMResponse

pytestmark = pytest.mark.anyio

ERROR_ANSWERS = pytest.mark.skipif("error" not in LLMResponse.model_fields, reason="the server takes no error answers")
ALL_REQUESTS = pytest.mark.skipif(
    "llm_requests" not in ExecutionResult.model_fields, reason="the server shows only one"
)
LISTS = pytest.mark.skipif("/executions" not in app.openapi()["paths"], reason="the server lists nothing")


# --- to the end ------------------------------------------------------------------------------------------------------


def test_run_returns_what_became_of_the_script(airlock: Airlock) -> None:
    result = airlock.run('say hello\nerr oh\nremember a.b 1\nresult {"n": 1}', project="p")
    assert result.is_completed
    assert (result.result, result.stdout, result.stderr) == ({"n": 1}, "hello\n", "oh\n")
    assert result.memory_updates == {"a.b": 1}


def test_run_returns_a_script_that_fails_and_does_not_raise(airlock: Airlock) -> None:
    result = airlock.run("fail it broke", project="p")
    assert (result.is_completed, result.error_type, result.error) == (False, "script_error", "it broke")


def test_run_hands_over_settings_memory_and_timeout(airlock: Airlock) -> None:
    code = "setting s\nrecall m.n\nsleep 60"
    result = airlock.run(code, project="p", settings={"s": "set"}, memory={"m.n": 5}, timeout=1)
    assert (result.stdout, result.error_type) == ("set\n5\n", "timeout")


def test_run_answers_one_request_after_the_other(airlock: Airlock) -> None:
    asked: list[OpenLLMRequest] = []

    def llm(request: OpenLLMRequest) -> str:
        asked.append(request)
        return request.prompt.upper()

    result = airlock.run("ask one\nask two", project="p", llm=llm)
    assert result.result == "TWO"
    assert [(request.id, request.prompt, request.model) for request in asked] == [
        (1, "one", "default"),
        (2, "two", "default"),
    ]


def test_run_tells_output_as_it_comes_and_each_piece_once(airlock: Airlock) -> None:
    told: list[tuple[str, str]] = []
    seen_before_the_answer: list[int] = []

    def llm(_: OpenLLMRequest) -> str:
        seen_before_the_answer.append(len(told))
        return "x"

    airlock.run(
        "say one\nerr oops\nask\nsay two",
        project="p",
        llm=llm,
        on_output=lambda stream, text: told.append((stream, text)),
    )
    assert told == [("stdout", "one\n"), ("stderr", "oops\n"), ("stdout", "two\n")]
    assert seen_before_the_answer == [2]


def test_what_on_output_raises_ends_the_run_and_cancels_the_execution(airlock: Airlock) -> None:
    def on_output(_: str, text: str) -> None:
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match="here"):
        airlock.run("say here\nsleep 600", project="p", on_output=on_output)
    assert all(project.running == 0 for project in airlock.projects())


async def test_async_run_answers_with_an_async_and_with_a_plain_function(url: str) -> None:
    async def answer(request: OpenLLMRequest) -> str:
        return request.prompt.upper()

    async with AsyncAirlock(url) as client:
        assert (await client.run("ask one", project="p", llm=answer)).result == "ONE"
        assert (await client.run("ask one", project="p", llm=lambda request: request.prompt)).result == "one"


async def test_async_run_tells_output_to_an_async_function(url: str) -> None:
    told: list[str] = []

    async def on_output(stream: str, text: str) -> None:
        told.append(stream + ":" + text)

    async with AsyncAirlock(url) as client:
        await client.run("say one\nerr two", project="p", on_output=on_output)
    assert told == ["stdout:one\n", "stderr:two\n"]


# --- answers that are errors -----------------------------------------------------------------------------------------


@ERROR_ANSWERS
def test_an_llm_error_reaches_the_script_with_its_text(airlock: Airlock) -> None:
    def llm(_: OpenLLMRequest) -> str:
        raise LLMError("no money left")

    result = airlock.run("ask q", project="p", llm=llm)
    assert result.error == "LLMError: no money left"


@ERROR_ANSWERS
def test_any_other_exception_reaches_the_script_as_its_type_only_and_is_logged(
    airlock: Airlock, caplog: pytest.LogCaptureFixture
) -> None:
    def llm(_: OpenLLMRequest) -> str:
        raise RuntimeError("wrong key sk-secret")

    result = airlock.run("ask q", project="p", llm=llm)
    assert result.error == "LLMError: the agent failed to answer (RuntimeError)"
    assert "wrong key sk-secret" in caplog.text


@ERROR_ANSWERS
@pytest.mark.parametrize("answer", [None, 7, b"bytes", "\ud800"])
def test_an_answer_that_is_no_text_is_an_error_for_the_script(airlock: Airlock, answer: object) -> None:
    result = airlock.run("ask q", project="p", llm=lambda _: answer)  # type: ignore[arg-type,return-value]  # deliberate
    assert str(result.error).startswith("LLMError: the agent failed to answer (")


@ERROR_ANSWERS
def test_without_llm_the_script_is_told_that_nobody_answers(airlock: Airlock) -> None:
    result = airlock.run("ask q", project="p")
    assert result.error == "LLMError: the agent does not answer LLM requests"


# --- several at once -------------------------------------------------------------------------------------------------


@ALL_REQUESTS
def test_requests_that_are_open_together_are_answered_together(airlock: Airlock) -> None:
    together = threading.Barrier(3)

    def llm(request: OpenLLMRequest) -> str:
        together.wait(PATIENCE)
        return request.prompt.upper()

    assert airlock.run("ask a|b|c", project="p", llm=llm).result == ["A", "B", "C"]


def test_more_requests_than_are_answered_at_once_are_answered_all_the_same(airlock: Airlock) -> None:
    prompts = [f"p{number}" for number in range(50)]
    at_once = most = 0
    lock = threading.Lock()

    def llm(request: OpenLLMRequest) -> str:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return request.prompt

    assert airlock.run(f"ask {'|'.join(prompts)}", project="p", llm=llm).result == prompts
    assert most <= 16


@ALL_REQUESTS
async def test_async_requests_that_are_open_together_are_answered_together(url: str) -> None:
    arrived = asyncio.Barrier(3)

    async def llm(request: OpenLLMRequest) -> str:
        await arrived.wait()
        return request.prompt.upper()

    async with AsyncAirlock(url) as client:
        with anyio.fail_after(PATIENCE):
            assert (await client.run("ask a|b|c", project="p", llm=llm)).result == ["A", "B", "C"]


@ALL_REQUESTS
async def test_async_answers_that_block_in_plain_functions_do_not_block_the_loop(url: str) -> None:
    together = threading.Barrier(3)

    def llm(request: OpenLLMRequest) -> str:
        together.wait(PATIENCE)
        return request.prompt

    async with AsyncAirlock(url) as client:
        assert (await client.run("ask a|b|c", project="p", llm=llm)).result == ["a", "b", "c"]


@LISTS
def test_an_answer_that_comes_too_late_is_nobodys_problem(airlock: Airlock) -> None:
    def llm(request: OpenLLMRequest) -> str:
        [execution] = airlock.list(status="awaiting_llm")
        airlock.cancel(execution.execution_id)
        return request.prompt

    assert airlock.run("ask q", project="p", llm=llm).error_type == "cancelled"
