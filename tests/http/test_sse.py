"""The format of events on the wire."""

from __future__ import annotations

import pytest
from tests.running.followed import FollowedByHand, events_of

from airlock.http import sse as server_sent_events
from airlock.http.sse import EventStreamResponse

pytestmark = pytest.mark.anyio


async def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = FollowedByHand()
    monkeypatch.setattr(server_sent_events, "KEEP_ALIVE", 0.02)
    followed.write(b"x")
    pieces = EventStreamResponse(events_of(followed)).body_iterator.__aiter__()
    received = [await anext(pieces) for _ in range(4)]
    assert received[:2] == [b"retry: 1000\n\n", b'event: stdout\ndata: {"text":"x"}\nid: 01234567.1.0.1.0\n\n']
    assert received[2:] == [b": ping\n\n"] * 2
    followed.write(b"y")
    assert await anext(pieces) == b'event: stdout\ndata: {"text":"y"}\nid: 01234567.1.0.2.0\n\n'
