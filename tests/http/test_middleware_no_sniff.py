"""`X-Content-Type-Options: nosniff` on every response: of the app, of plugins, and of what is refused before both."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.http.conftest import HOST, JSON, finished

from airlock.api import create_app

PATHS = (
    *("/health", "/ready", "/projects", "/executions", "/openapi.json", "/docs", "/docs/assets/swagger-ui.css"),
    *("/metrics", "/metrics/nowhere", "/nowhere"),  # /metrics is a plugin's
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
def test_every_route_and_what_is_none(api: httpx.Client, method: str) -> None:
    responses = [api.request(method, path) for path in PATHS]
    assert {response.status_code for response in responses} <= {200, 404, 405}
    told = {response.url.path: response.headers.get_list("x-content-type-options") for response in responses}
    assert told == {path: ["nosniff"] for path in PATHS}


def test_an_execution_its_events_and_a_refused_request(api: httpx.Client) -> None:
    path = finished(api, "result 1")
    for response in (api.get(path), api.get(f"{path}/events"), api.post("/execute"), api.post(f"{path}/respond")):
        assert response.headers.get_list("x-content-type-options") == ["nosniff"], response


GET, POST = b"GET / HTTP/1.1\r\n", b"POST /execute HTTP/1.1\r\n" + JSON


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (GET + b"\r\n", 400),
        (GET + b"Host: evil.example\r\n\r\n", 403),
        (POST + b"Content-Length: 99999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"POST /execute HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n1", 415),
        (GET + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", 400),
    ],
)
def test_what_is_refused_before_or_instead_of_a_route(connection: socket.socket, sent: bytes, status: int) -> None:
    connection.sendall(sent)
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := connection.recv(65536))
        assert piece, received
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.lower().count(b"\r\nx-content-type-options: nosniff\r\n") == 1


def test_a_fault() -> None:
    faulty: Any = create_app()
    faulty.get("/fault")(lambda: 1 / 0)
    response = TestClient(faulty, raise_server_exceptions=False).get("/fault")
    assert response.status_code == 500
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]


def test_a_refused_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_API_KEY", "k")
    response = TestClient(create_app()).get("/projects")
    assert response.status_code == 401
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
