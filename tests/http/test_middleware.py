"""HEAD wherever there is GET, and the id of every request: in each response, in problems, and in the log."""

from __future__ import annotations

import io
import logging
import re
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi.testclient import TestClient

from airlock.api import app, create_app
from airlock.logs.formats import PlainFormatter

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


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/executions", "/openapi.json", "/docs"])
def test_head_answers_like_get_without_a_body(api: httpx.Client, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    changing = {"x-request-id", "date"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }


# --- ids of requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/nowhere", "/docs", "/executions/x"])
def test_every_response_carries_an_id_of_its_own(path: str) -> None:
    client = TestClient(app)
    first, second = (client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_a_problem_shows_the_id_of_its_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_API_KEY", "k")
    client = TestClient(create_app())
    for path in ("/projects", "/nowhere"):
        response = client.get(path)
        assert response.json()["request_id"] == response.headers["x-request-id"]


def test_an_id_that_a_proxy_sent_is_kept() -> None:
    assert TestClient(app).get("/health", headers={"X-Request-ID": "a.b_C-1"}).headers["x-request-id"] == "a.b_C-1"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "a\tb", "a=b", "\xe9"])
def test_an_id_that_could_be_misread_is_replaced(sent: str) -> None:
    response = TestClient(app).get("/health", headers={"X-Request-ID": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_a_fault_is_logged_under_the_id_that_the_client_was_told() -> None:
    faulty = create_app()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter())
    logging.getLogger("airlock.http.problems").addHandler(handler)
    try:
        faulty.get("/fault")(lambda: 1 / 0)
        response = TestClient(faulty, raise_server_exceptions=False).get("/fault")
    finally:
        logging.getLogger("airlock.http.problems").removeHandler(handler)
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"]
    first = stream.getvalue().splitlines()[0]
    assert first.endswith(f"GET /fault failed request_id={response.headers['x-request-id']}")
    assert "    | ZeroDivisionError" in stream.getvalue()
