"""A stream of events from inside: how often it works, and what it keeps in memory."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from tests.running.followed import FollowedByHand, events_of

from airlock.executions import OpenRequest
from airlock.models import ExecutionStatus, LLMRequest
from airlock.running import events as event_stream
from airlock.running.events import MAX_TEXT, EventId, EventStream

pytestmark = pytest.mark.anyio


@pytest.mark.timed
async def test_what_comes_at_once_becomes_one_event_and_the_first_waits_for_nothing(followed: FollowedByHand) -> None:
    events = events_of(followed)
    waiting = asyncio.create_task(events.next())
    await asyncio.sleep(0.02)
    for _ in range(100):
        followed.write(b"x")
    began = asyncio.get_running_loop().time()
    event = await waiting
    assert event is not None
    assert event.data == b'{"text":"%s"}' % (b"x" * 100)
    assert asyncio.get_running_loop().time() - began < event_stream.PACE


async def test_a_flood_of_small_writes_is_looked_at_now_and_then(followed: FollowedByHand) -> None:
    events = events_of(followed)

    async def flood() -> None:
        for _ in range(5_000):
            followed.write(b"x")
            await asyncio.sleep(0)

    flooding = asyncio.create_task(flood())
    seen = 0
    began = asyncio.get_running_loop().time()
    while seen < 5_000:
        event = await events.next()
        assert event is not None
        seen += len(event.data) - len(b'{"text":""}')
    elapsed = asyncio.get_running_loop().time() - began
    await flooding
    assert followed.looked <= 2 * (elapsed / event_stream.PACE + 3)  # one that finds something, one that does not


async def test_a_flood_does_not_keep_a_question_back(followed: FollowedByHand) -> None:
    events = events_of(followed)

    async def flood() -> None:
        while True:
            followed.write(b"x")
            await asyncio.sleep(0)

    flooding = asyncio.create_task(flood())
    assert await events.next()
    followed.write(b"what led to it")
    request = OpenRequest(id=1, request=LLMRequest(prompt="?"), created_at=0, expires_at=0, version=2)
    changes = {"status": ExecutionStatus.awaiting_llm, "llm_requests": (request,)}
    followed.execution = followed.execution.changed(changes)
    seen = [await events.next() for _ in range(3)]
    flooding.cancel()
    assert [event and event.type for event in seen] == ["stdout", "status", "llm_request"]
    assert seen[0] is not None
    assert b"what led to it" in seen[0].data


async def test_one_event_has_a_bounded_piece_of_the_output(followed: FollowedByHand) -> None:
    followed.write(b"\0" * (1 << 18))
    event = await events_of(followed).next()
    assert event is not None
    assert len(event.data) == 6 * MAX_TEXT + len(b'{"text":""}')


async def test_a_stream_with_much_to_send_lets_others_have_their_turn(followed: FollowedByHand) -> None:
    followed.write(b"x" * (1 << 20))
    events, turns, seen = events_of(followed), 0, 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(other())
    while seen < 60:
        assert await events.next()
        seen += 1
    others.cancel()
    assert turns >= seen - 1


async def test_a_stream_that_nobody_reads_from_keeps_no_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEPT", 0.01)
    found: list[weakref.ref[FollowedByHand]] = []

    async def look() -> FollowedByHand:
        execution = FollowedByHand()
        execution.write(b"x" * 2 * MAX_TEXT)
        found.append(weakref.ref(execution))
        return execution

    events = EventStream(look, EventId())
    for _ in range(3):
        assert await events.next()
        await asyncio.sleep(0.05)
        gc.collect()
        assert not any(reference() for reference in found)
    assert len(found) == 3


async def test_a_stream_that_is_gone_keeps_no_execution() -> None:
    followed = FollowedByHand()
    followed.write(b"x")
    events = events_of(followed)
    await events.next()
    gone = weakref.ref(followed)
    del events, followed
    gc.collect()
    assert gone() is None


async def test_cancelled_while_it_waits_it_loses_nothing(followed: FollowedByHand) -> None:
    events = events_of(followed)
    seen = b""
    for number in range(50):
        waiting = asyncio.create_task(events.next())
        await asyncio.sleep(0 if number % 2 else 0.001)
        followed.write(b"%d," % number)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        waiting.cancel()
        try:
            event = await waiting
        except asyncio.CancelledError:
            continue
        assert event is not None
        seen += event.data[len(b'{"text":"') : -2]
    followed.write(b"end")
    event = await events.next()
    assert event is not None
    seen += event.data[len(b'{"text":"') : -2]
    assert seen.decode() == "".join(f"{number}," for number in range(50)) + "end"
