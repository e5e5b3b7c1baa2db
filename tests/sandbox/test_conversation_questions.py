"""A script asks, and is answered."""

import asyncio

import pytest
from tests.sandbox.test_conversation import Agent, talk

from airlock import LLMRequest
from airlock.worker import codec

pytestmark = pytest.mark.anyio


async def test_an_answer_names_its_question() -> None:
    agent = Agent()
    conversation, sent = talk(agent)
    for number in (1, 2):
        conversation.feed(codec.encode(codec.LLM, {"id": number, "prompt": f"p{number}", "model": "m"}))
    await asyncio.sleep(0.01)
    assert sent == [(codec.ANSWER, {"id": n, "answer": f"answer to p{n}"}) for n in (1, 2)]
    await conversation.close()


async def test_a_refused_question_is_answered_with_the_error() -> None:
    agent = Agent()
    agent.refusal = "no budget"
    conversation, sent = talk(agent)
    conversation.feed(codec.encode(codec.LLM, {"id": 1, "prompt": "p", "model": "m"}))
    await asyncio.sleep(0.01)
    assert sent == [(codec.ANSWER, {"id": 1, "error": "no budget"})]
    await conversation.close()


@pytest.mark.parametrize("number", [0, 2, -1, True, "1", 1.0, None])
async def test_a_question_out_of_turn_is_a_violation_and_asks_nobody(number: object) -> None:
    agent = Agent()
    conversation, _ = talk(agent)
    conversation.feed(codec.encode(codec.LLM, {"id": number, "prompt": "p", "model": "m"}))
    await asyncio.sleep(0)
    assert conversation.ended.result().error_type == "protocol"
    assert agent.asked == []


async def test_an_llm_request_that_airlock_fails_to_handle_ends_the_execution_as_internal() -> None:
    """Otherwise the script would wait for an answer that never arrives."""

    class OutOfDescriptors(Agent):
        async def complete(self, request: LLMRequest) -> str:
            raise OSError(24, "Too many open files")

    conversation, _ = talk(OutOfDescriptors())
    conversation.feed(codec.encode(codec.LLM, {"id": 1, "prompt": "?", "model": "m"}))
    async with asyncio.timeout(5):
        outcome = await conversation.ended
    assert outcome.error_type == "internal"
    await conversation.close()
