"""Frames that are nearly right: thousands in `make test`, a million in `make soak`."""

from __future__ import annotations

import asyncio
import os
import random
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from airlock import Job, Limits, LLMRequest, strict_json
from airlock.sandbox import Conversation
from airlock.worker import codec

if TYPE_CHECKING:
    from airlock import Stream

pytestmark = pytest.mark.anyio

FRAMES: Final = 1_000_000 if os.environ.get("AIRLOCK_TEST_SOAK") else 20_000
GROWTH: Final = 16 << 20  # bytes, whatever the count
ERROR_TYPES: Final = {None, "script_error", "memory_limit", "result_limit", "llm_limit", "protocol", "worker_lost"}
HONEST: Final = (
    [(codec.RESULT, b'{"a": [1.5, null, "\\u00e9"]}'), (codec.END, b'{"error": null}')],
    [
        (codec.LLM, b'{"id": 1, "prompt": "why?", "model": "default"}'),
        (codec.MEMORY, b'["facts.name", {"first": "Ada"}]'),
        (codec.LLM, b'{"id": 2, "prompt": "and?", "model": "m"}'),
        (codec.RESULT, b"[[[[1]]]]"),
        (codec.END, b'{"error": "ValueError: x", "exit_code": 1}'),
    ],
    [(codec.RESULT, b"1"), (codec.MEMORY, b'["a.b", 1]'), (codec.MEMORY, b'["a.b", 2]')],
    [(codec.END, b'{"error": "MemoryError"}'), (codec.READY, b"null"), (codec.JOB, b"{}")],
)  # fmt: skip
JOB: Final = Job(id="x", code="", timeout=1)
SPICES: Final = (
    b"\xff\xff\xff\xff",
    b"\x00",
    b"[" * 300,
    b"\\ud800",
    b"NaN",
    b"1e999",
    b'"',
    b"}",
    b"9" * 5000,
    b"\x80",
)


class Agent:
    """Answers everything."""

    has_started = True

    async def started(self) -> None:
        """There is no clock."""

    def write(self, stream: Stream, data: bytes) -> None:
        raise AssertionError(stream, data)

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """There is no clock."""

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        raise AssertionError(result, memory_updates)

    async def complete(self, request: LLMRequest) -> str:
        return request.prompt


def mutated(chance: random.Random) -> bytes:
    """A valid conversation, with a few bytes changed, lost, doubled, moved or inserted."""
    data = bytearray(b"".join(codec.frame(kind, body) for kind, body in chance.choice(HONEST)))
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(data) + 1), chance.randint(1, 8)
        match chance.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = chance.randbytes(size)
            case 4:
                data[at:at] = chance.choice(SPICES)
            case _:
                data = data[at:] + data[:at]
    return bytes(data)


async def talk(data: bytes, chance: random.Random) -> str | None:
    """Let a worker send this, in pieces of any size, and then exit; returns the error type."""
    conversation = Conversation(JOB, Agent(), Limits(result=4096, prompt=1024), lambda _: None)
    conversation.start()
    while data:
        size = chance.choice((1, 5, 20, len(data)))
        conversation.feed(data[:size])
        data = data[size:]
    conversation.exited(None)
    outcome = await asyncio.wait_for(conversation.ended, 10)
    await conversation.close()
    strict_json.dumps([outcome.result, dict(outcome.memory_updates), outcome.error])  # clients can read it
    return outcome.error_type


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


async def many(frames: int, chance: random.Random) -> set[str | None]:
    seen = set()
    while frames > 0:
        data = mutated(chance)
        seen.add(await talk(data, chance))
        frames -= max(1, data.count(b'{"') + data.count(b'["'))  # about as many as there were
    return seen


async def test_mutated_frames_end_well_every_time_and_leave_no_memory() -> None:
    chance = random.Random(1)
    await many(2_000, chance)
    before = resident()
    assert (
        {None, "script_error", "memory_limit", "protocol", "worker_lost"} <= await many(FRAMES, chance) <= ERROR_TYPES
    )
    assert resident() < before + GROWTH
