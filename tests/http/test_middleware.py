"""HEAD wherever there is GET."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from airlock.api import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer


@pytest.fixture(scope="module")
def api(serve_all: Callable[..., RunningServer]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_all("projects: {p: {backend: mock}}\n").url, timeout=60) as client:
        yield client


def execution(api: httpx.Client) -> str:
    return api.post("/execute?wait=30", json={"project": "p", "code": "print(1)"}).headers["location"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/executions", "/metrics", "/openapi.json"])
def test_head_is_what_get_answers_without_the_body(api: httpx.Client, path: str) -> None:
    get, head = api.get(path), api.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


def test_head_of_an_execution_tells_whether_it_is_there(api: httpx.Client) -> None:
    assert api.head(execution(api)).status_code == 200
    assert api.head("/executions/nobody").status_code == 404


def test_head_of_events_ends_at_once(api: httpx.Client) -> None:
    paused = api.post("/execute", json={"project": "p", "code": 'llm.complete("q")'}).headers["location"]
    assert api.head(f"{paused}/events").headers["content-type"].startswith("text/event-stream")


def test_head_where_there_is_no_get_is_refused(api: httpx.Client) -> None:
    answer = api.head("/execute")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_head_sends_no_byte_after_the_head_and_the_connection_goes_on(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=60) as connection:
        for path in ("/health", f"{execution(api)}/events", "/nowhere"):
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = bytearray()
        while piece := connection.recv(1 << 16):
            received += piece
    heads = received.split(b"\r\n\r\n")
    assert [head.split(b" ")[1] for head in heads[:4]] == [b"200", b"200", b"404", b"200"]
    assert heads[4:] == [b'{"status":"ok"}']


def test_openapi_names_each_operation_once() -> None:
    assert not [path for path, operations in app.openapi()["paths"].items() if "head" in operations]
