"""The host's side of the worker protocol: a conversation ends properly, whatever a sandbox sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock import Job, Limits, LLMError, LLMRequest, Outcome, strict_json
from airlock.backends import one_line
from airlock.sandbox import Conversation
from airlock.worker import codec

if TYPE_CHECKING:
    from airlock import Stream

pytestmark = pytest.mark.anyio

ERROR_TYPES = {None, "script_error", "memory_limit", "result_limit", "llm_limit", "protocol", "worker_lost"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def raw(kind: int, body: bytes) -> bytes:
    return codec.HEADER.pack(len(body), kind) + body


class Agent:
    """A run that answers, or refuses."""

    def __init__(self) -> None:
        self.asked: list[LLMRequest] = []
        self.refusal: str | None = None

    has_started = True

    async def started(self) -> None:
        pass

    def write(self, stream: Stream, data: bytes) -> None:
        raise AssertionError(stream, data)

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """Do nothing: there is no clock."""

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        raise AssertionError(result, memory_updates)

    async def complete(self, request: LLMRequest) -> str:
        self.asked.append(request)
        if self.refusal is not None:
            raise LLMError(self.refusal)
        return f"answer to {request.prompt}"


def talk(agent: Agent | None = None, **limits: Any) -> tuple[Conversation, list[tuple[int, Any]]]:
    """Start a conversation; returns it, and the list of what it sends."""
    sent: list[tuple[int, Any]] = []

    def send(data: bytes) -> None:
        size, kind = codec.HEADER.unpack_from(data)
        assert len(data) == codec.HEADER.size + size
        sent.append((kind, json.loads(data[codec.HEADER.size :])))

    job = Job(id="secret-id", code="code", timeout=5, settings={"a": "b"}, memory={"m.k": 1})
    return Conversation(job, agent or Agent(), Limits(**limits), send), sent


async def outcome_of(*frames: bytes, **limits: Any) -> Outcome:
    conversation, _ = talk(**limits)
    conversation.feed(b"".join(frames))
    conversation.exited(None)
    await conversation.close()
    return conversation.ended.result()


# --- any bytes at all --------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.binary(max_size=100)
        | st.builds(raw, st.sampled_from(list(b"SLRMEXJA")), st.binary(max_size=60))
        | st.builds(raw, st.sampled_from(list(b"SLRMEXJA")), JSON.map(lambda v: json.dumps(v).encode()))
        | st.just(codec.encode(codec.LLM, {"id": 1, "prompt": "p", "model": "m"}))
        | st.just(codec.encode(codec.MEMORY, ["a.b", {"c": 1}])),
        max_size=8,
    )
)
def test_no_bytes_make_a_conversation_raise_or_hang(pieces: list[bytes]) -> None:
    async def converse() -> Outcome:
        conversation, _ = talk()
        for piece in pieces:
            conversation.feed(piece)
            await asyncio.sleep(0)
        conversation.exited(None)
        await conversation.close()
        return conversation.ended.result()

    outcome = asyncio.run(converse())
    assert outcome.error_type in ERROR_TYPES
    assert (outcome.error is None) == (outcome.error_type is None)
    strict_json.dumps([outcome.result, dict(outcome.memory_updates), outcome.error])


# --- the conversation --------------------------------------------------------------------------------------------


async def test_the_job_is_handed_over_without_its_id() -> None:
    conversation, sent = talk()
    conversation.start()
    given = {"code": "code", "settings": {"a": "b"}, "memory": {"m.k": 1}, "timeout": 5}
    assert sent == [(codec.JOB, {**given, "limits": {"prompt": 1 << 20, "result": 1 << 20}})]


@pytest.mark.parametrize(
    ("kind", "error_type", "says"),
    [
        (codec.RESULT, "result_limit", "result has 100000000 bytes as JSON; limits.result is 1MiB"),
        (codec.MEMORY, "result_limit", "memory_updates has 100000000 bytes as JSON; limits.result is 1MiB"),
        (codec.LLM, "llm_limit", "a prompt of about 100000000 bytes exceeds limits.prompt (1MiB)"),
        (codec.END, "protocol", "protocol violation: the sandbox sent a frame of 100000000 bytes; 6295552 is the most"),
        (0, "protocol", "protocol violation: the sandbox sent a frame of 100000000 bytes; 6295552 is the most"),
    ],
)
async def test_a_frame_too_large_to_take_names_the_limit_behind_it(kind: int, error_type: str, says: str) -> None:
    outcome = await outcome_of(codec.HEADER.pack(100_000_000, kind))
    assert outcome == Outcome(error=says, error_type=error_type)


async def test_the_last_result_and_the_last_value_of_a_key_count() -> None:
    outcome = await outcome_of(
        codec.encode(codec.RESULT, 1),
        codec.encode(codec.MEMORY, ["a.b", 1]),
        codec.encode(codec.MEMORY, ["a.b", 2]),
        codec.encode(codec.RESULT, {"x": [1]}),
        codec.encode(codec.END, {"error": None}),
    )
    assert outcome == Outcome(result={"x": [1]}, memory_updates={"a.b": 2})


async def test_results_are_kept_when_the_script_fails() -> None:
    outcome = await outcome_of(codec.encode(codec.RESULT, 1), codec.encode(codec.END, {"error": "ValueError: x"}))
    assert outcome == Outcome(result=1, error="ValueError: x", error_type="script_error")


async def test_what_comes_after_the_end_is_ignored() -> None:
    outcome = await outcome_of(codec.encode(codec.END, {"error": None}), codec.encode(codec.RESULT, 1), b"\xff" * 100)
    assert outcome == Outcome()


async def test_only_the_last_result_has_to_be_json() -> None:
    end = codec.encode(codec.END, {"error": None})
    assert (await outcome_of(raw(codec.RESULT, b"NaN"), codec.encode(codec.RESULT, 1), end)).result == 1
    assert (await outcome_of(codec.encode(codec.RESULT, 1), raw(codec.RESULT, b"NaN"), end)).error_type == "protocol"


async def test_only_the_last_value_of_a_key_has_to_be_json() -> None:
    outcome = await outcome_of(
        raw(codec.MEMORY, b'["a.b", {]'),
        codec.encode(codec.MEMORY, ["a.b", 1]),
        codec.encode(codec.END, {"error": None}),
    )
    assert outcome.memory_updates == {"a.b": 1}


@pytest.mark.parametrize("key", ['a.b"', "a.b\\", 'a.\\"', "ä.\U0001f600", "a.b\n", "a.]"])
async def test_a_key_of_any_text_is_told_from_others(key: str) -> None:
    frames = [codec.encode(codec.MEMORY, [each, each]) for each in (key, "a.b", key)]
    outcome = await outcome_of(*frames, codec.encode(codec.END, {"error": None}))
    assert outcome.memory_updates == {key: key, "a.b": "a.b"}


@pytest.mark.parametrize(
    "body",
    [
        b'["a.b", 1, 2]',
        b'["a.b"]',
        b'["a.b" 1]',
        b'["a.b", NaN]',
        b'["ab", 1]',
        b'["a.", 1]',
        b'[".b", 1]',
        b'{"a.b": 1}',
    ],
)
async def test_a_memory_frame_of_another_form_is_a_violation(body: bytes) -> None:
    outcome = await outcome_of(raw(codec.MEMORY, body), codec.encode(codec.END, {"error": None}))
    assert outcome.error_type == "protocol"


async def test_a_script_that_reads_no_answers_is_ended() -> None:
    conversation, _ = talk()
    conversation._send = lambda data: (64 << 20) + len(data)
    conversation.feed(codec.encode(codec.LLM, {"id": 1, "prompt": "?", "model": "m"}))
    outcome = await asyncio.wait_for(conversation.ended, 20)
    await conversation.close()
    assert (outcome.error_type, "does not read its answers" in (outcome.error or "")) == ("protocol", True)


async def test_a_result_over_the_limit_names_the_limit() -> None:
    outcome = await outcome_of(codec.encode(codec.RESULT, "x" * 2000), result="1KiB")
    assert outcome.error_type == "result_limit"
    assert "limits.result is 1KiB" in (outcome.error or "")


async def test_memory_updates_over_the_limit_name_the_limit_but_the_same_key_again_is_not_more() -> None:
    same = [codec.encode(codec.MEMORY, ["a.b", "x" * 600]) for _ in range(10)]
    assert (await outcome_of(*same, codec.encode(codec.END, {"error": None}), result="1KiB")).error is None
    outcome = await outcome_of(*(codec.encode(codec.MEMORY, [f"a.{n}", "x" * 600]) for n in range(2)), result="1KiB")
    assert outcome.error_type == "result_limit"


@pytest.mark.parametrize(
    ("code", "error_type", "error"),
    [
        (0, None, None),
        (3, "script_error", "the script ended with exit code 3"),
        (-11, "script_error", "the script was killed by SIGSEGV"),
        (-40, "script_error", "the script was killed by signal 40"),
        (None, "worker_lost", "the worker was lost"),
    ],
)
async def test_a_process_that_is_gone_says_how(code: int | None, error_type: str | None, error: str | None) -> None:
    conversation, _ = talk()
    conversation.exited(code)
    assert conversation.ended.result() == Outcome(error=error, error_type=error_type, exit_code=code)
    assert not conversation.said_end


async def test_running_out_of_memory_in_the_script_names_the_limit() -> None:
    outcome = await outcome_of(codec.encode(codec.END, {"error": "MemoryError"}), memory="64MiB")
    assert outcome == Outcome(error="MemoryError (limits.memory is 64MiB)", error_type="memory_limit")


@given(st.text(max_size=5000))
def test_an_error_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 2000
    assert line.isprintable()
