"""What END says of the exit code: it is the script's own word, so only its form can be checked."""

from __future__ import annotations

import pytest
from tests.sandbox.test_conversation_mutated import JOB, Agent

from airlock import Limits
from airlock.sandbox import Conversation
from airlock.worker import codec

pytestmark = pytest.mark.anyio


def told(body: bytes) -> Conversation:
    conversation = Conversation(JOB, Agent(), Limits(), lambda _: None)
    conversation.feed(codec.frame(codec.END, body))
    return conversation


@pytest.mark.parametrize("code", [-64, -2, 0, 1, 255])
async def test_exit_code_is_taken(code: int) -> None:
    conversation = told(b'{"error": "x", "exit_code": %d}' % code)
    outcome = conversation.ended.result()
    assert (outcome.error_type, outcome.exit_code) == ("script_error", code)


async def test_end_without_an_exit_code_has_none() -> None:
    conversation = told(b'{"error": null}')
    outcome = conversation.ended.result()
    assert (outcome.error_type, outcome.exit_code) == (None, None)


@pytest.mark.parametrize("code", [b"-65", b"256", b"1.0", b"true", b"null", b'"1"', b"[]", b"1e0", b"9" * 400])
async def test_exit_code_of_another_form_is_a_violation(code: bytes) -> None:
    conversation = told(b'{"error": null, "exit_code": %s}' % code)
    outcome = conversation.ended.result()
    assert (outcome.error_type, outcome.exit_code) == ("protocol", None)


async def test_what_airlock_ends_has_none() -> None:
    conversation = Conversation(JOB, Agent(), Limits(), lambda _: None)
    conversation.end("cpu_limit", "too much")
    conversation.exited(-9)
    assert conversation.ended.result().exit_code is None


async def test_another_field_is_a_violation() -> None:
    assert told(b'{"error": null, "exit_code": 0, "more": 0}').ended.result().error_type == "protocol"
    assert told(b'{"error": null, "more": 0}').ended.result().error_type == "protocol"
