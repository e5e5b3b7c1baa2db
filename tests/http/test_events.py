"""The events of an execution over real HTTP: what is sent when, and that no cut of the connection repeats or loses."""

from __future__ import annotations

import json
import random
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from httpx_sse import EventSource

from airlock.gateway.keys import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

CONFIG = """
projects:
  p: {backend: scripted, replicas: 4, limits: {shutdown_grace: 0}}
  m: {backend: mock}
"""
SQLITE = f"store: {{type: sqlite, path: s.db}}\n{CONFIG}"
PATIENCE = 60.0  # seconds; only a guard against hanging
HOSTILE = "\r\r\n\n\ndata: x\n\nid: 1\nevent: result\n: c\x00\x85\u2028\u2029\x1c\x0b\ufeff😀é\ud7ff\U0010ffff end"


class Received(NamedTuple):
    type: str
    data: Any
    id: str


@pytest.fixture(scope="module")
def api(serve_all: Serve) -> Iterator[httpx.Client]:
    with client_of(serve_all(CONFIG)) as client:
        yield client


@contextmanager
def client_of(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        while client.get("/ready").status_code != 200:
            time.sleep(0.01)
        yield client


def submit(api: httpx.Client, code: str, project: str = "p") -> str:
    """Return the path of a new execution."""
    answer = api.post("/execute", json={"project": project, "code": code})
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def finished(api: httpx.Client, code: str) -> str:
    path = submit(api, code)
    assert api.get(path, params={"wait": 30}).json()["status"] == "completed"
    return path


def follow(api: httpx.Client, path: str, after: str = "") -> Iterator[Received]:
    with api.stream("GET", f"{path}/events", headers={"Last-Event-ID": after} if after else {}) as response:
        assert response.status_code == 200, response.read()
        for event in EventSource(response).iter_sse():
            if event.data:
                yield Received(event.event, json.loads(event.data), event.id)


def until(api: httpx.Client, path: str, *statuses: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while api.get(path).json()["status"] not in statuses:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def text_of(events: list[Received], stream: str = "stdout") -> str:
    return "".join(event.data["text"] for event in events if event.type == stream)


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_an_execution_from_its_beginning_to_its_end(api: httpx.Client) -> None:
    path = submit(api, "say before\nask who?\nerr after\nremember a.b 1")
    seen = []
    for event in follow(api, path):
        seen.append(event)
        if event.type == "llm_request":
            assert (event.data["prompt"], event.data["model"], event.data["id"]) == ("who?", "default", 1)
            api.post(f"{path}/respond", json={"response": "me", "request_id": 1})
    statuses = [event.data["status"] for event in seen if event.type == "status"]
    assert statuses[-3:] == ["awaiting_llm", "running", "completed"]
    assert [event.type for event in seen if event.type != "status"] == ["stdout", "llm_request", "stderr", "result"]
    assert (text_of(seen), text_of(seen, "stderr")) == ("before\n", "after\n")
    polled = api.get(path).json()
    assert seen[-1].data == {name: value for name, value in polled.items() if name not in ("stdout", "stderr")}
    assert seen[-1].data["memory_updates"] == {"a.b": 1}


def test_the_output_that_led_to_a_question_comes_before_it(api: httpx.Client) -> None:
    path = submit(api, "ask first\nsay so\nask second")
    until(api, path, "awaiting_llm")
    events = follow(api, path)
    assert next(events).data["llm_request_ids"] == [1]
    api.post(f"{path}/respond", json={"response": "x"})
    later = [next(events) for _ in range(3)]
    while later[-1].type != "llm_request" or later[-1].data["id"] != 2:
        later.append(next(events))
    kinds = [(event.type, event.data.get("status")) for event in later]
    assert kinds[-3:] == [("stdout", None), ("status", "awaiting_llm"), ("llm_request", None)]
    events.close()  # type: ignore[attr-defined]
    api.post(f"{path}/cancel")


def test_several_questions_at_once_are_told_one_by_one(api: httpx.Client) -> None:
    path = submit(api, "ask a|b|c")
    asked = []
    for event in follow(api, path):
        if event.type == "llm_request":
            asked.append(event.data["id"])
            if len(asked) == 3:
                answers = [{"request_id": number, "response": "x"} for number in asked]
                api.post(f"{path}/respond", json={"responses": answers})
    assert asked == [1, 2, 3]


def test_output_is_there_while_the_script_runs(api: httpx.Client) -> None:
    path = submit(api, "say now\nsleep 600")
    for event in follow(api, path):
        if event.type == "stdout":
            assert event.data == {"text": "now\n"}
            api.post(f"{path}/cancel")
    assert (event.type, event.data["error_type"]) == ("result", "cancelled")


def test_a_mock_execution_has_events_as_well(api: httpx.Client) -> None:
    path = submit(api, "print('hi')", project="m")
    *_, last = follow(api, path)
    assert (last.type, last.data["status"]) == ("result", "completed")


def test_the_response_is_for_no_cache_and_no_proxys_buffer(api: httpx.Client) -> None:
    with api.stream("GET", f"{finished(api, 'say x')}/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.read().startswith(b"retry: 1000\n\n")


def test_output_cannot_forge_an_event_also_for_clients_that_split_lines_anywhere(api: httpx.Client) -> None:
    written = HOSTILE.encode() + b"\xff\xed\xa0\x80"  # and what is no UTF-8: a lone surrogate
    path = finished(api, f"hex {written.hex()}")
    *events, result = follow(api, path)
    assert text_of(events) == HOSTILE + "\ufffd" * 4 == api.get(path).json()["stdout"]
    assert result.type == "result"
    raw = api.get(f"{path}/events").text
    fields = [line.partition(": ")[0] for line in raw.splitlines() if line]
    assert fields == ["retry", *["event", "data", "id"] * (len(events) + 1)]


# --- going on where it broke off -------------------------------------------------------------------------------------


def test_after_each_event_exactly_the_others_follow(api: httpx.Client) -> None:
    path = submit(api, f"say {'é😀' * 20_000}\nerr {'x' * 20_000}\nask a|b")
    until(api, path, "awaiting_llm")
    paused: list[Received] = []
    for event in follow(api, path):
        paused.append(event)
        if event.type == "llm_request" and event.data["id"] == 2:
            break
    for number, event in enumerate(paused[:-1]):
        assert next(follow(api, path, event.id)) == paused[number + 1]
    api.post(f"{path}/respond", json={"responses": [{"request_id": n, "response": "x"} for n in (1, 2)]})
    api.get(path, params={"wait": 30})
    whole = list(follow(api, path))
    for number, seen in enumerate(whole[:-1]):
        assert list(follow(api, path, seen.id)) == whole[number + 1 :]
    for number, seen in enumerate(paused):  # what was seen while it ran is as good
        known, rest = paused[: number + 1], list(follow(api, path, seen.id))
        assert text_of(known + rest) == "é😀" * 20_000 + "\n"
        assert text_of(known + rest, "stderr") == "x" * 20_000 + "\n"


def test_a_cut_at_any_byte_repeats_nothing_and_loses_nothing(api: httpx.Client) -> None:
    path = finished(api, f"say {'aé😀' * 7_000}\nhex {HOSTILE.encode().hex()}\nerr é")
    whole = api.get(f"{path}/events").content
    expected = list(follow(api, path))
    for cut in [*range(60), *random.sample(range(len(whole)), 100), *range(len(whole) - 60, len(whole))]:
        got = [event for event in whole[:cut].split(b"\n\n")[:-1] if b"data: " in event]
        last_id = got[-1].rpartition(b"id: ")[2].decode() if got else ""
        assert list(follow(api, path, last_id)) == expected[len(got) :], cut


def test_after_the_result_nothing_follows_and_browsers_stop_asking(api: httpx.Client) -> None:
    path = finished(api, "say x")
    *_, result = follow(api, path)
    answer = api.get(f"{path}/events", headers={"Last-Event-ID": result.id})
    assert (answer.status_code, answer.content) == (204, b"")


def test_who_cannot_set_a_header_sends_a_query_parameter_and_the_header_counts(api: httpx.Client) -> None:
    path = finished(api, "say x")
    first, second, *rest = follow(api, path)
    by_query = api.get(f"{path}/events", params={"last_event_id": first.id})
    assert by_query.content == api.get(f"{path}/events", headers={"Last-Event-ID": first.id}).content
    both = api.get(f"{path}/events", params={"last_event_id": first.id}, headers={"Last-Event-ID": second.id})
    assert both.text.count("event: ") == len(rest)
    assert api.get(f"{path}/events", params={"last_event_id": ""}).text.count("event: ") == len(rest) + 2


def test_more_than_there_is_is_nothing_missing(api: httpx.Client) -> None:
    """So it is after a crash of the server, which stores output only at each pause and at the end."""
    path = finished(api, "say x")
    first = next(follow(api, path))
    tag = first.id.partition(".")[0]
    far = "9" * 15
    assert [event.type for event in follow(api, path, f"{tag}.{far}.{far}.{far}.{far}")] == ["status", "result"]


@pytest.mark.parametrize(
    "given", ["1", "-1", "0", "x" * 90, "{}.1.2.3", "{}.1.2.3.4.5", "{}.-1.0.0.0", "{}.1.0.0." + "9" * 16, "{}.", "%00"]
)
@pytest.mark.parametrize("how", ["header", "query"])
def test_an_id_that_was_never_sent_is_refused_with_the_reason(api: httpx.Client, given: str, how: str) -> None:
    path = finished(api, "say x")
    given = given.format(next(follow(api, path)).id.partition(".")[0])
    sent = {"headers": {"Last-Event-ID": given}} if how == "header" else {"params": {"last_event_id": given}}
    answer = api.get(f"{path}/events", **sent)  # type: ignore[arg-type]  # either is
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "not the id of an event" in answer.json()["detail"]


def test_the_end_of_what_is_not_over_is_refused(api: httpx.Client) -> None:
    """204 would stop an EventSource for good."""
    path = submit(api, "sleep 600")
    tag = next(follow(api, path)).id.partition(".")[0]
    answer = api.get(f"{path}/events", headers={"Last-Event-ID": f"{tag}.end"})
    assert (answer.status_code, answer.json()["detail"].partition(": ")[2]) == (
        422,
        "not the id of an event: this execution has not finished",
    )
    api.post(f"{path}/cancel")


def test_an_id_of_another_execution_is_refused(api: httpx.Client) -> None:
    path, other = finished(api, "say x"), finished(api, "say y")
    for event in follow(api, other):
        answer = api.get(f"{path}/events", headers={"Last-Event-ID": event.id})
        assert (answer.status_code, "another execution" in answer.json()["detail"]) == (422, True)


def test_an_id_of_any_size_is_answered(api: httpx.Client) -> None:
    path = finished(api, "say x")
    assert api.get(f"{path}/events", headers={"Last-Event-ID": "1" * 5000}).status_code == 422


def test_after_a_crash_the_rest_follows(serve: Serve) -> None:
    first = serve(SQLITE)
    with client_of(first) as api:
        over = finished(api, "say é😀")
        whole = list(follow(api, over))
        paused, running = submit(api, "say stored\nask q"), submit(api, "say é😀 not stored\nsleep 600")
        until(api, paused, "awaiting_llm")
        until(api, running, "running")
        seen = {}
        for path, last in ((paused, "llm_request"), (running, "stdout")):
            for event in follow(api, path):
                seen[path] = event
                if event.type == last:
                    break
    first.process.kill()
    first.ended()
    with client_of(serve(SQLITE)) as api:
        for number, event in enumerate(whole[:-1]):
            assert list(follow(api, over, event.id)) == whole[number + 1 :]
        for path in (paused, running):
            status, result = follow(api, path, seen[path].id)
            assert (status.data["status"], result.data["error_type"]) == ("error", "interrupted")
        assert text_of(list(follow(api, paused))) == "stored\n"


# --- who may ---------------------------------------------------------------------------------------------------------


def test_another_keys_execution_is_not_there_and_without_a_key_nothing_is(serve: Serve) -> None:
    keys = ", ".join(f"{{name: {name}, sha256: {sha256(name * 10)}}}" for name in ("a", "b"))
    server = serve(f"server: {{keys: [{keys}]}}\n{CONFIG}")
    a, b, nobody = ({"Authorization": f"Bearer {name * 10}"} for name in ("a", "b", "c"))
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        answer = client.post("/execute?wait=30", json={"project": "m", "code": "x"}, headers=a)
        path = f"/executions/{answer.json()['execution_id']}/events"
        assert client.get(path, headers=a).text.count("event: result") == 1
        assert client.get(path, headers=b).json()["code"] == "execution_not_found"
        assert client.get(path, headers=nobody).status_code == 401
        assert client.get(path, headers=b | {"Last-Event-ID": "nonsense"}).status_code in (404, 422)


def test_a_web_page_of_elsewhere_reads_no_events(api: httpx.Client) -> None:
    path = finished(api, "say x")
    for header in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        assert api.get(f"{path}/events", headers=header).json()["code"] == "not_local"


def test_no_such_execution_is_a_problem_and_no_stream(api: httpx.Client) -> None:
    answer = api.get("/executions/nobody/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "execution_not_found")


# --- readers that are slow, or gone ----------------------------------------------------------------------------------


class StalledReader:
    """Asks for events and reads nothing, over a connection that holds little."""

    def __init__(self, api: httpx.Client, path: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((api.base_url.host, api.base_url.port or 0))
        self.socket.sendall(f"GET {path}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def __enter__(self) -> StalledReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def rest(self) -> bytes:
        received = bytearray()
        while piece := self.socket.recv(1 << 20):
            received += piece
        return bytes(received)


def test_a_reader_that_stalls_delays_nobody_and_gets_everything_in_the_end(api: httpx.Client) -> None:
    lines = "\n".join(f"say {number} {'x' * 90}" for number in range(9_000))
    path = submit(api, f"sleep 0.3\n{lines}\nask q")
    with StalledReader(api, path) as reader:
        until(api, path, "awaiting_llm")
        assert text_of(list(read_until_asked(api, path))).count("\n") == 9_000
        api.post(f"{path}/respond", json={"response": "x"})
        assert api.get(path, params={"wait": 30}).json()["status"] == "completed"
        received = reader.rest()
    assert received.count(b"event: result") == 1
    assert received.endswith(b"0\r\n\r\n")
    assert received.count(b"x" * 90) >= 8_900  # the others have the length of a chunk in them


def read_until_asked(api: httpx.Client, path: str) -> Iterator[Received]:
    for event in follow(api, path):
        yield event
        if event.type == "llm_request":
            return


def descriptors(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_readers_that_go_away_are_noticed(serve: Serve) -> None:
    server = serve(CONFIG)
    with client_of(server) as api:
        path = submit(api, "say x\nsleep 600")
        until(api, path, "running")
        before = descriptors(server)
        assert before < 40
        readers = [StalledReader(api, path) for _ in range(50)]
        for reader in readers:
            reader.socket.recv(1)
        assert descriptors(server) > 50
        for reader in readers:
            reader.socket.close()
        give_up = time.monotonic() + PATIENCE
        while descriptors(server) > before:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        api.post(f"{path}/cancel")
        assert text_of(list(follow(api, path))) == "x\n"
    assert "Traceback" not in "".join(server.printed)


# --- the server ends -------------------------------------------------------------------------------------------------


def test_at_shutdown_streams_end_with_the_result_and_the_server_ends(serve: Serve) -> None:
    server = serve(CONFIG)
    with client_of(server) as api:
        paused, running = submit(api, "ask q"), submit(api, "sleep 600")
        until(api, paused, "awaiting_llm")
        until(api, running, "running")
        with StalledReader(api, paused) as one, StalledReader(api, running) as other:
            one.socket.recv(1)
            other.socket.recv(1)
            server.process.terminate()
            for reader in (one, other):
                received = reader.rest()
                assert received.count(b"event: result") == received.count(b'"error_type":"interrupted"') - 1 == 1
        assert server.ended() == 0
    assert "Traceback" not in "".join(server.printed)


def test_what_stays_queued_over_a_restart_ends_its_stream_without_a_result(serve: Serve) -> None:
    config = SQLITE.replace("replicas: 4", "replicas: 1")
    server = serve(config)
    with client_of(server) as api:
        running = submit(api, "sleep 600")
        until(api, running, "running")
        waiting = submit(api, "say late")
        events = []
        for event in follow(api, waiting):
            events.append(event)
            server.process.terminate()
        assert [event.data["status"] for event in events] == ["pending"]
        assert server.ended() == 0
    with client_of(serve(config)) as api:
        rest = list(follow(api, waiting, events[-1].id))
        assert (text_of(rest), rest[-1].type) == ("late\n", "result")


def test_a_reader_that_stalls_does_not_hold_the_end(serve: Serve) -> None:
    server = serve(CONFIG)
    with client_of(server) as api:
        path = submit(api, "\n".join(["say " + "x" * 1000] * 900) + "\nsleep 600")
        until(api, path, "running")
        with StalledReader(api, path):
            time.sleep(0.2)
            server.process.terminate()
            assert server.ended() == 0
