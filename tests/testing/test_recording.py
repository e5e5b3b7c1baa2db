"""`RecordingRun` stands in for core."""

import asyncio

import pytest

from airlock.errors import LLMError
from airlock.models import LLMRequest
from airlock.testing import RecordingRun, never_answers


@pytest.mark.anyio
async def test_recording_session_gives_answers_in_turn_and_then_none() -> None:
    run = RecordingRun(["a", LLMError("no"), "b"])
    await run.started()
    assert await run.complete(LLMRequest(prompt="1")) == "a"
    with pytest.raises(LLMError, match="no"):
        await run.complete(LLMRequest(prompt="2"))
    assert await run.complete(LLMRequest(prompt="3")) == "b"
    with pytest.raises(LLMError, match="no answer to '4'"):
        await run.complete(LLMRequest(prompt="4"))
    assert [request.prompt for request in run.requests] == ["1", "2", "3", "4"]


@pytest.mark.anyio
async def test_recording_session_waits_until_something_was_recorded() -> None:
    run = RecordingRun(never_answers)
    await run.started()
    asyncio.get_running_loop().call_later(0.01, run.write, "stdout", b"now")
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout == "now")


@pytest.mark.anyio
async def test_recording_session_refuses_what_is_not_bytes() -> None:
    run = RecordingRun()
    await run.started()
    with pytest.raises(AssertionError, match="takes 'stdout' or 'stderr', and bytes"):
        run.write("stdout", "text")  # type: ignore[arg-type]
    assert len(run.faults) == 1
