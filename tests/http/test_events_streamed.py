"""Streams of events from a server that crashes or stops, to clients that stall, leave, or may not see them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.http.conftest import PATIENCE, Received, client_of, finished, follow, submit, text_of, until

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


@pytest.fixture(scope="module")
def api(serve_all: Serve) -> Iterator[httpx.Client]:
    with client_of(serve_all(CONFIG)) as client:
        yield client


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
    """Requests events and reads nothing, over a connection with small buffers."""

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
