"""Requests that go past the framework are answered as it answers them, and those that it must see reach it."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airlock.api import app
from airlock.http.direct import DirectRoute
from airlock.testing import code_that_asks

ECHO = b'{"project": "mock-project", "code": "1"}'
JSON = {"Content-Type": "application/json"}
FULL = '{"project": "mock-project", "code": "é", "timeout": 5.0, "settings": {"a": "b"}, "memory": {"k": [1.5, null]}}'
VARYING = re.compile(r"[0-9a-f-]{36}|\d{4}-\d\d-\d\dT[^\"]*|(?<=_ms\":)\d+|[0-9a-f]{32}")


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that reach the framework."""
    paths: list[str] = []
    real = APIRoute.handle

    async def handle(self: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await real(self, scope, receive, send)

    monkeypatch.setattr(APIRoute, "handle", handle)
    return paths


def shown(response: httpx.Response) -> tuple[int, dict[str, str], str]:
    headers = {name: VARYING.sub("*", value) for name, value in response.headers.items()}
    return response.status_code, headers, VARYING.sub("*", response.text)


USUAL = [
    ("?wait=5", ECHO, JSON),
    ("", ECHO, JSON),
    ("?wait=0", ECHO, JSON),
    ("?wait=0.5", FULL.encode(), JSON),
    ("?wait=30", ECHO, {**JSON, "Idempotency-Key": "k é".encode("latin-1")}),
]


@pytest.mark.parametrize(("query", "body", "headers"), USUAL)
def test_usual_requests_are_answered_as_by_the_framework(
    client: TestClient, seen: list[str], monkeypatch: pytest.MonkeyPatch, query: str, body: bytes, headers: Any
) -> None:
    directly = client.post(f"/execute{query}", content=body, headers=headers)
    path = directly.headers["location"]
    got = [client.get(path), client.get(f"{path}?wait=1"), client.get(f"{path}?wait=0.25&since=0")]
    assert seen == []
    monkeypatch.setattr(DirectRoute, "handle", APIRoute.handle)
    assert shown(client.post(f"/execute{query}", content=body, headers=headers)) == shown(directly)
    for response in got:
        again = client.get(response.url)
        assert (again.status_code, again.content) == (response.status_code, response.content)
        assert shown(again)[1] == shown(response)[1]
    assert len(seen) == 4


def test_an_execution_that_asks_is_shown_directly(client: TestClient, seen: list[str]) -> None:
    body = {"project": "mock-project", "code": code_that_asks("Who?")}
    asked = client.post("/execute?wait=5", json=body)
    assert (asked.status_code, asked.json()["status"]) == (200, "awaiting_llm")
    assert seen == []


UNUSUAL = [
    ("?wait=31", ECHO, JSON, 422),
    ("?wait=", ECHO, JSON, 422),
    ("?wait=-1", ECHO, JSON, 422),
    ("?wait=1&wait=1", ECHO, JSON, 422),
    ("?since=1", ECHO, JSON, 422),
    ("?&wait=1", ECHO, JSON, 200),
    ("?wait=1.00000", ECHO, JSON, 200),
    ("?wait=%31", ECHO, JSON, 200),
    ("", ECHO, {}, 415),
    ("", ECHO, {"Content-Type": "text/plain"}, 415),
    ("", ECHO, {"Content-Type": "application/json; charset=utf-8"}, 202),
    ("", ECHO, {**JSON, "Content-Encoding": "gzip"}, 415),
    ("", ECHO, [("Content-Type", "application/json"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")], 422),
    ("", ECHO, {**JSON, "Idempotency-Key": ""}, 422),
    ("", ECHO, {**JSON, "Idempotency-Key": "x" * 256}, 422),
    ("", b"", JSON, 422),
    ("", b"{", JSON, 400),
    ("", b"[" * 200 + b"]" * 200, JSON, 400),
    ("", b'{"project": "mock-project", "code": NaN}', JSON, 400),
    ("", b'{"project": "mock-project", "code": "1", "more": 1}', JSON, 422),
    ("", b'{"project": "mock-project", "code": "%s"}' % (b"x" * 70_000), JSON, 202),
]


@pytest.mark.parametrize(("query", "body", "headers", "status"), UNUSUAL)
def test_unusual_requests_reach_the_framework_whole(
    client: TestClient, seen: list[str], query: str, body: bytes, headers: Any, status: int
) -> None:
    response = client.post(f"/execute{query}", content=body, headers=headers)
    assert (response.status_code, seen) == (status, ["/execute"]), response.text


def test_a_body_in_pieces_reaches_the_framework_whole(client: TestClient, seen: list[str]) -> None:
    response = client.post("/execute", content=iter([ECHO[:9], ECHO[9:]]), headers=JSON)
    assert (response.status_code, seen) == (202, ["/execute"])


def test_a_body_that_the_framework_got_is_not_kept_beside_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[object] = []
    real = APIRoute.handle

    async def handle(self: APIRoute, scope: Any, receive: Any, send: Any) -> None:
        caller = sys._getframe(1).f_locals

        async def receive_and_look() -> Any:
            message = await receive()
            kept.extend(name for name, value in caller.items() if value is message)
            return message

        await real(self, scope, receive_and_look, send)

    monkeypatch.setattr(APIRoute, "handle", handle)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    for query, status in (("", 202), ("?wait=1.00000", 200)):
        assert client.post(f"/execute{query}", content=ECHO, headers=headers).status_code == status
    assert client.post("/execute", content=b"{", headers=JSON).status_code == 400
    assert kept == []


@pytest.mark.parametrize("query", ["?wait=31", "?since=-1", "?since=1&wait=1", "?wait=1&more=1", "?wait=1&"])
def test_unusual_polls_reach_the_framework(client: TestClient, seen: list[str], query: str) -> None:
    path = client.post("/execute", content=ECHO, headers=JSON).headers["location"]
    client.get(f"{path}{query}")
    assert seen == [path]


def test_refusals_of_the_gateway_are_the_same_problems(
    client: TestClient, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusals() -> list[Any]:
        return [
            shown(client.get("/executions/none")),
            shown(client.get("/executions/none?wait=1")),
            shown(client.post("/execute", content=FULL.encode(), headers=key)),
        ]

    key = {**JSON, "Idempotency-Key": "refusals"}
    client.post("/execute", content=ECHO, headers=key)
    directly = refusals()
    assert [status for status, *_ in directly] == [404, 404, 422]
    assert seen == []
    monkeypatch.setattr(DirectRoute, "handle", APIRoute.handle)
    assert refusals() == directly


@pytest.mark.parametrize(("method", "path"), [("GET", "/execute"), ("POST", "/executions/x"), ("PUT", "/execute")])
def test_other_methods_are_told_which_there_are(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"]
