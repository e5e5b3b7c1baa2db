"""Requests are read as FastAPI reads them, but strictly; floods are refused at once, with a short response."""

import json
import re
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from airlock.api import app
from airlock.gateway import ScopedGateway
from airlock.http.requests import StrictRoute
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
def by_the_framework(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to let FastAPI itself read requests, which is not strict."""
    return lambda: monkeypatch.setattr(StrictRoute, "handle", APIRoute.handle)


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
def test_requests_are_answered_as_by_the_framework(
    client: TestClient, by_the_framework: Callable[[], None], query: str, body: bytes, headers: Any
) -> None:
    directly = client.post(f"/execute{query}", content=body, headers=headers)
    path = directly.headers["location"]
    got = [client.get(path), client.get(f"{path}?wait=1"), client.get(f"{path}?wait=0.25&since=0")]
    by_the_framework()
    assert shown(client.post(f"/execute{query}", content=body, headers=headers)) == shown(directly)
    for response in got:
        again = client.get(response.url)
        assert (again.status_code, again.content) == (response.status_code, response.content)
        assert shown(again)[1] == shown(response)[1]


def test_an_execution_that_asks_is_answered_as_by_the_framework(
    client: TestClient, by_the_framework: Callable[[], None]
) -> None:
    body = {"project": "mock-project", "code": code_that_asks("Who?")}
    asked = client.post("/execute?wait=5", json=body)
    assert (asked.status_code, asked.json()["status"]) == (200, "awaiting_llm")
    by_the_framework()
    assert shown(client.post("/execute?wait=5", json=body)) == shown(asked)


WRONG = [
    ("POST", "/execute?wait=31", ECHO),
    ("POST", "/execute?wait=", ECHO),
    ("POST", "/execute?wait=-1", ECHO),
    ("POST", "/execute?wait=x", b'{"project": 1, "more": 1}'),
    ("POST", "/execute", b""),
    ("POST", "/execute", b"null"),
    ("POST", "/execute", b"[]"),
    ("POST", "/execute", b'{"project": "mock-project", "code": 1, "timeout": 0}'),
    ("POST", f"/executions/{'x' * 65}/respond", b'{"response": 1}'),
    ("POST", "/executions/x/respond", b"{}"),
    ("POST", "/projects/%20/up", b'{"replicas": -1}'),
    ("GET", "/executions/x?wait=31&since=-1", b""),
    ("GET", "/executions?limit=0&status=x&project=%20", b""),
    ("GET", "/executions/x/events?last_event_id=" + "x" * 101, b""),
]


@pytest.mark.parametrize(("method", "target", "body"), WRONG)
def test_requests_are_refused_as_by_the_framework(
    client: TestClient, by_the_framework: Callable[[], None], method: str, target: str, body: bytes
) -> None:
    headers = {**JSON, "Idempotency-Key": ""}
    directly = client.request(method, target, content=body, headers=headers)
    assert directly.status_code == 422
    by_the_framework()
    assert shown(client.request(method, target, content=body, headers=headers)) == shown(directly)


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
def test_unusual_requests(client: TestClient, query: str, body: bytes, headers: Any, status: int) -> None:
    response = client.post(f"/execute{query}", content=body, headers=headers)
    assert response.status_code == status, response.text


@pytest.mark.parametrize(
    ("query", "status"),
    [("?wait=31", 422), ("?since=-1", 422), ("?since=1&wait=1", 200), ("?wait=1&more=1", 422), ("?wait=1&", 200)],
)
def test_unusual_polls(client: TestClient, query: str, status: int) -> None:
    path = client.post("/execute", content=ECHO, headers=JSON).headers["location"]
    assert client.get(f"{path}{query}").status_code == status


def test_a_body_in_pieces_is_read_whole(client: TestClient) -> None:
    assert client.post("/execute", content=iter([ECHO[:9], ECHO[9:]]), headers=JSON).status_code == 202


@pytest.mark.anyio
async def test_a_body_is_not_kept_while_its_execution_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Message(dict[str, Any]):
        """A dictionary that accepts weak references."""

    watched: list[weakref.ref[Message]] = []
    kept: list[Message | None] = []
    real = ScopedGateway.wait

    async def wait(self: ScopedGateway, *args: Any) -> Any:
        kept.extend(reference() for reference in watched)
        return await real(self, *args)

    async def pieces() -> AsyncIterator[bytes]:
        yield ECHO[:9]
        yield ECHO[9:]

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        async def receive_and_watch() -> Message:
            message = Message(await receive())
            watched.append(weakref.ref(message))
            return message

        await app(scope, receive_and_watch, send)

    monkeypatch.setattr(ScopedGateway, "wait", wait)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(watching), base_url="http://test") as client:
        for body in (ECHO, pieces()):
            assert (await client.post("/execute?wait=5", content=body, headers=JSON)).status_code == 200
    assert len(watched) >= 3
    assert kept == [None] * len(kept) != []


def test_refusals_of_the_gateway_are_the_same_problems(
    client: TestClient, by_the_framework: Callable[[], None]
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
    by_the_framework()
    assert refusals() == directly


@pytest.mark.parametrize(("method", "path"), [("GET", "/execute"), ("POST", "/executions/x"), ("PUT", "/execute")])
def test_other_methods_are_told_which_there_are(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"]


def post(client: TestClient, path: str, body: str) -> Any:
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("item", ["[]", "{}", "1", '"x"', '{"a":[]}', r'"\\"'])
def test_more_values_than_anybody_sends_are_400(client: TestClient, item: str) -> None:
    many = ",".join([item] * 1_000_000)
    answer = post(client, "/execute", f'{{"project":"p","code":"x","memory":{{"a.b":[{many}]}}}}')
    assert answer.status_code == 400
    assert "more than 200000 values" in answer.json()["detail"]


def test_what_only_looks_like_values_passes(client: TestClient) -> None:
    body = json.dumps({"project": "p", "code": '[{,\\"' * 300_000})
    assert post(client, "/execute", body).status_code == 202


MANY = dict.fromkeys(map(str, range(90_000)), 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/executions/x/respond", {"responses": [[]] * 90_000}),
        ("/execute", {"project": "p", "code": "x", "settings": MANY}),
        ("/execute", {"project": "p", "code": "x", **MANY}),
        ("/execute", {"project": "p", "code": "x", "settings": dict.fromkeys(map(str, range(900)), 1)}),
    ],
)
def test_a_body_of_mistakes_is_answered_with_a_few(client: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = post(client, path, json.dumps(body))
    assert answer.status_code == 422
    assert 1 <= len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 20_000
