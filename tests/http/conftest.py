"""What the tests of HTTP share: a server, connections to it, ASGI scopes, and ways to follow events."""

from __future__ import annotations

import json
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx_sse import EventSource
from tests.http.extending import TWO_PROJECTS, extending

from airlock.api import create_app
from airlock.config import load_config
from airlock.errors import RequestError
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RunningServer
    from tests.http.extending import Extend, Served

    from airlock.config.config import Config
    from airlock.http.access import AccessPolicy

CONFIG = "projects: {p: {backend: scripted, replicas: 2}}\n"
HOST = b"Host: localhost\r\n"
BODY = json.dumps({"project": "p", "code": "result 1"}).encode()
JSON = HOST + b"Content-Type: application/json\r\n"
PATIENCE = 60.0  # seconds; only a guard against hanging


@pytest.fixture(scope="module")
def server(serve_all: Callable[..., Any]) -> Any:
    started = serve_all(CONFIG)
    while httpx.get(f"{started.url}/ready", timeout=30).status_code != 200:
        time.sleep(0.01)
    return started


@pytest.fixture(scope="module")
def api(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def connection(server: Any) -> Iterator[socket.socket]:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        yield connection


@pytest.fixture
def plugins() -> Plugins:
    found = Plugins.discover()
    assert not found.broken
    return found


@pytest.fixture
def mock_alone(tmp_path: Path, plugins: Plugins) -> Config:
    path = tmp_path / "airlock.yaml"
    path.write_text("projects: {p: {backend: mock}}\n")
    return load_config(path, plugins, {})


@pytest.fixture
def served(tmp_path: Path, plugins: Plugins) -> Iterator[Served]:
    """An app with these plugins, started, and its client."""
    started: list[TestClient] = []

    def serve(*extends: Extend, config: str = TWO_PROJECTS) -> TestClient:
        for number, extend in enumerate(extends, 1):
            plugins.register(extending(extend), Source(f"p{number}", f"airlock-p{number}", "1.0"))
        path = tmp_path / "airlock.yaml"
        path.write_text(config)
        client = TestClient(create_app(load_config(path, plugins, {}), plugins), raise_server_exceptions=False)
        started.append(client.__enter__())
        return client

    yield serve
    for client in started:
        client.__exit__(None, None, None)


def request_from(server: str | None = "127.0.0.1", client: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    """Make the scope of a request that arrived over a socket."""
    return {
        "type": "http",
        "method": "GET",
        "path": "/projects",
        "server": server and (server, 8000),
        "client": (client, 40000),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
    }


def status_of(policy: AccessPolicy, scope: dict[str, Any]) -> int | None:
    try:
        policy.admit(scope)
    except RequestError as error:
        return error.status
    return None


def answer_to(connection: socket.socket, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes, and read one response."""
    connection.sendall(sent)
    return response(connection)


def response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := connection.recv(65536))
        assert piece, received
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, json.loads(body)


def check_problem(headers: dict[str, str], problem: dict[str, Any], code: str) -> None:
    assert headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["request_id"] == headers["x-request-id"]


class Received(NamedTuple):
    type: str
    data: Any
    id: str


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
