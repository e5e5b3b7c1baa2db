"""What a script has reported counts, whatever ends it."""

from __future__ import annotations

import pytest
from tests.sandbox.test_conversation import outcome_of, raw

from airlock.worker import codec

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("end", "error_type"),
    [
        (codec.encode(codec.END, {"error": "MemoryError"}), "memory_limit"),
        (codec.encode(codec.RESULT, "x" * 2000), "result_limit"),
        (codec.encode(codec.MEMORY, ["a.b", "x" * 2000]), "result_limit"),
        (codec.HEADER.pack(100_000_000, codec.RESULT), "result_limit"),
        (codec.HEADER.pack(100_000_000, codec.LLM), "llm_limit"),
        (codec.frame(0, b""), "protocol"),
        (b"", "worker_lost"),
    ],
)
async def test_results_are_kept_whatever_ends_the_script(end: bytes, error_type: str) -> None:
    frames = codec.encode(codec.RESULT, 1), codec.encode(codec.MEMORY, ["a.b", 2])
    outcome = await outcome_of(*frames, end, result="1KiB")
    assert (outcome.error_type, outcome.result, outcome.memory_updates) == (error_type, 1, {"a.b": 2})


async def test_results_that_are_a_violation_are_dropped_and_change_no_cause_but_the_scripts_own() -> None:
    frames = raw(codec.RESULT, b"NaN"), raw(codec.MEMORY, b'["a.b", NaN]'), codec.encode(codec.MEMORY, ["a.c", 2])
    outcome = await outcome_of(*frames)
    assert (outcome.error_type, outcome.result, outcome.memory_updates) == ("worker_lost", None, {"a.c": 2})
    outcome = await outcome_of(*frames, codec.encode(codec.END, {"error": "ValueError: x"}))
    assert (outcome.error_type, outcome.result, outcome.memory_updates) == ("protocol", None, {"a.c": 2})
