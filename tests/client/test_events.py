"""The event stream: what it yields, and how it resumes after an interruption."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from airlock.client import Airlock, AsyncAirlock, Event, NotAirlock, NotFound, Unreachable
from airlock_client import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Network

    MakeNetwork = Callable[[str | None], Network]

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


def event(number: int, kind: str, data: object) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


RESULT = {"execution_id": "x", "status": "completed"}


def text(content: str) -> dict[str, str]:
    return {"text": content}


def whole(*events: bytes) -> bytes:
    return HEAD + b"".join(events)


def test_events_are_yielded_until_the_result(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/executions/x/events", whole(event(1, "new", {"a": 1}), event(2, "result", RESULT), b"data: 3\n\n"))
    with Airlock(server.url) as client:
        assert list(client.events("x")) == [Event("new", {"a": 1}), Event("result", RESULT)]
    assert server.headers[0]["accept"] == "text/event-stream"
    assert "last-event-id" not in server.headers[0]


def test_a_stream_that_breaks_off_goes_on_after_the_last_whole_event(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", text("a")), event(2, "stdout", text("b"))[:-1]))
    server.sends("/events", b"")
    server.replies("/events", "503 Service Unavailable", "busy", "Retry-After: 0")
    server.sends("/events", whole(event(2, "stdout", text("b")), event(3, "result", RESULT)))
    with Airlock(server.url) as client:
        assert [each.data for each in client.events("x")] == [text("a"), text("b"), RESULT]
    assert [headers.get("last-event-id") for headers in server.headers] == [None, "1", "1", "1"]


async def test_the_async_stream_does_the_same(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", text("a")), event(2, "stdout", text("b"))[:-1]))
    server.sends("/events", b"")
    server.sends("/events", whole(event(2, "stdout", text("b")), event(3, "result", RESULT)))
    async with AsyncAirlock(server.url) as client:
        assert [each.data async for each in client.events("x")] == [text("a"), text("b"), RESULT]
    assert server.headers[-1]["last-event-id"] == "1"


def test_what_keeps_the_connection_alive_is_no_event(network: MakeNetwork) -> None:
    server = network(None)
    events = event(1, "stdout", text("a")), b": still here\n\n", event(2, "result", RESULT)
    server.sends("/events", whole(b": here\n\n", *events))
    with Airlock(server.url) as client:
        assert [each.type for each in client.events("x")] == ["stdout", "result"]


@pytest.mark.parametrize("content", ["line\u2028separator", "next\x85line", "a\r\nb", "\x1c", "é" * 10_000])
def test_text_arrives_as_it_was(network: MakeNetwork, content: str) -> None:
    server = network(None)
    server.sends("/events", whole(event(1, "stdout", text(content)), event(2, "result", RESULT)))
    with Airlock(server.url) as client:
        assert next(iter(client.events("x"))).data == text(content)


def test_a_stream_that_always_breaks_off_is_unreachable_in_the_end(network: MakeNetwork) -> None:
    server = network(None)
    for _ in range(20):
        server.sends("/events", HEAD)
    with Airlock(server.url, retry_for=0.5) as client, pytest.raises(Unreachable, match="keeps breaking off"):
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
    with Airlock(server.url) as client, pytest.raises(NotAirlock, match="not an event stream"):
        list(client.events("x"))


def test_events_that_are_not_json_are_not_airlock(network: MakeNetwork) -> None:
    server = network(None)
    server.sends("/events", whole(b"event: stdout\ndata: hello\n\n"))
    with Airlock(server.url) as client, pytest.raises(NotAirlock, match="not JSON"):
        list(client.events("x"))


@pytest.mark.parametrize(
    "sent",
    [event(1, "stdout", "a"), event(1, "stderr", {}), event(1, "status", {"status": "x"}), event(1, "result", 0)],
)
def test_events_of_another_form_are_not_airlock(network: MakeNetwork, sent: bytes) -> None:
    server = network(None)
    server.sends("/events", whole(sent))
    with Airlock(server.url) as client, pytest.raises(NotAirlock, match=r"sent a \w+ event without"):
        list(client.events("x"))


def test_retry_for_counts_from_the_first_failure_after_a_quiet_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LASTED", 0.1)
    stream = events.EventStream("x", retry_for=0.3)
    time.sleep(0.4)
    failure = stream.broken_off()
    assert stream.pause_after(failure) > 0
    stream.begin()
    time.sleep(0.4)
    assert stream.pause_after(failure) > 0  # the connection lasted, although nothing arrived
    time.sleep(0.4)
    with pytest.raises(Unreachable):
        stream.pause_after(failure)


# --- a real server behind a network that cuts every connection -------------------------------------------------------

SCRIPT = "\n".join(f"say {number} aé😀\nerr {number}\nsleep 0.02" for number in range(15)) + "\nask one|two\nsay over"
STDOUT = "".join(f"{number} aé😀\n" for number in range(15)) + "over\n"
STDERR = "".join(f"{number}\n" for number in range(15))


def cut_network(network: MakeNetwork, url: str) -> Network:
    """Each reply ends after 0 to 3000 bytes: within the head, a status or a character, or not at all."""
    bad = network(url)
    bad.cuts_every_reply("/events", partial(random.randrange, 3000))
    return bad


@pytest.mark.parametrize("_", range(3))
def test_cut_anywhere_again_and_again_nothing_is_lost_and_nothing_repeated(
    url: str, network: MakeNetwork, _: int
) -> None:
    bad = cut_network(network, url)
    with Airlock(bad.url) as client, Airlock(url) as straight:
        execution_id = straight.submit(SCRIPT, project="p")
        seen: list[Event] = []
        for each in client.events(execution_id):
            seen.append(each)
            if each.type == "llm_request":
                straight.respond(execution_id, "x", request_id=each.data["id"])
        result = straight.get(execution_id)
    texts = {kind: "".join(e.data["text"] for e in seen if e.type == kind) for kind in ("stdout", "stderr")}
    assert texts == {"stdout": STDOUT, "stderr": STDERR} == {"stdout": result.stdout, "stderr": result.stderr}
    assert [e.data["id"] for e in seen if e.type == "llm_request"] == [1, 2]
    versions = [e.data["version"] for e in seen if e.type == "status"]
    assert versions == sorted(set(versions))
    assert seen[-1].data["result"] == ["x", "x"]


def test_a_run_over_connections_that_are_cut_gets_each_piece_once(url: str, network: MakeNetwork) -> None:
    bad = cut_network(network, url)
    written = {"stdout": "", "stderr": ""}

    def on_output(stream: str, content: str) -> None:
        written[stream] += content

    with Airlock(bad.url) as client:
        result = client.run(SCRIPT, project="p", llm=lambda request: request.prompt, on_output=on_output)
    assert (result.result, written) == (["one", "two"], {"stdout": STDOUT, "stderr": STDERR})
    assert bad.count("GET /executions/") - bad.count("/events") == 1  # it listens, and does not poll


async def test_an_async_run_over_connections_that_are_cut_gets_each_piece_once(url: str, network: MakeNetwork) -> None:
    bad = cut_network(network, url)
    written = {"stdout": "", "stderr": ""}

    async def on_output(stream: str, content: str) -> None:
        written[stream] += content

    async with AsyncAirlock(bad.url) as client:
        result = await client.run(SCRIPT, project="p", llm=lambda request: request.prompt, on_output=on_output)
    assert (result.result, written) == (["one", "two"], {"stdout": STDOUT, "stderr": STDERR})


def test_output_is_called_back_while_the_script_runs(url: str) -> None:
    class Enough(Exception):
        pass

    def on_output(stream: str, content: str) -> None:
        raise Enough(stream, content)

    with Airlock(url) as client:
        with pytest.raises(Enough) as raised:
            client.run("say now\nsleep 600", project="p", on_output=on_output)
        assert raised.value.args == ("stdout", "now\n")
        assert client.projects()[0].running == 0
