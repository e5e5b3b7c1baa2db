"""The event stream: what is yielded, and how it goes on where it broke off."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airlock.client import Airlock, AsyncAirlock, Event, NotAirlock, NotFound, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Network

    MakeNetwork = Callable[[str | None], Network]

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def event(number: int, kind: str, data: object) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def whole(*events: bytes) -> bytes:
    return HEAD + b"".join(events)


def test_events_are_yielded_until_the_result(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/executions/x/events", whole(event(1, "status", {"a": 1}), event(2, "result", None), b"data: 3\n\n"))
    with Airlock(server.url) as client:
        assert list(client.events("x")) == [Event("status", {"a": 1}), Event("result", None)]
    assert server.headers[0]["accept"] == "text/event-stream"
    assert "last-event-id" not in server.headers[0]


def test_a_stream_that_breaks_off_goes_on_after_the_last_whole_event(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", "a"), event(2, "stdout", "b")[:-1]))
    server.sends("/events", b"")
    server.replies("/events", "503 Service Unavailable", "busy", "Retry-After: 0")
    server.sends("/events", whole(event(2, "stdout", "b"), event(3, "result", {})))
    with Airlock(server.url) as client:
        assert [each.data for each in client.events("x")] == ["a", "b", {}]
    assert [headers.get("last-event-id") for headers in server.headers] == [None, "1", "1", "1"]


async def test_the_async_stream_does_the_same(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", "a"), event(2, "stdout", "b")[:-1]))
    server.sends("/events", b"")
    server.sends("/events", whole(event(2, "stdout", "b"), event(3, "result", {})))
    async with AsyncAirlock(server.url) as client:
        assert [each.data async for each in client.events("x")] == ["a", "b", {}]
    assert server.headers[-1]["last-event-id"] == "1"


def test_what_keeps_the_connection_alive_is_no_event(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(b": here\n\n", event(1, "stdout", "a"), b": still here\n\n", event(2, "result", 0)))
    with Airlock(server.url) as client:
        assert [each.type for each in client.events("x")] == ["stdout", "result"]


@pytest.mark.parametrize("text", ["line\u2028separator", "next\x85line", "a\r\nb", "\x1c", "é" * 10_000])
def test_text_arrives_as_it_was(network: MakeNetwork, text: str) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", text), event(2, "result", 0)))
    with Airlock(server.url) as client:
        assert next(iter(client.events("x"))).data == text


def test_a_stream_that_always_breaks_off_is_unreachable_in_the_end(network: MakeNetwork) -> None:
    server = network(None)
    for _ in range(20):
        server.sends("/events", HEAD)
    with Airlock(server.url, retry_for=0.5) as client, pytest.raises(Unreachable, match="breaks off again and again"):
        list(client.events("x"))


def test_no_such_execution_is_not_found(network: MakeNetwork) -> None:
    server = network(None)
    problem = '{"status": 404, "code": "execution_not_found", "detail": "gone", "request_id": "r"}'
    server.replies("/events", "404 Not Found", problem)
    with Airlock(server.url) as client, pytest.raises(NotFound):
        list(client.events("x"))


def test_what_is_no_event_stream_is_not_airlock(network: MakeNetwork) -> None:
    server = network(None)
    server.replies("/events", "200 OK", "<html>", "Content-Type: text/html")
    with Airlock(server.url) as client, pytest.raises(NotAirlock, match="no event stream"):
        list(client.events("x"))


def test_events_that_are_not_json_are_not_airlock(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(b"event: stdout\ndata: hello\n\n"))
    with Airlock(server.url) as client, pytest.raises(NotAirlock, match="not JSON"):
        list(client.events("x"))
