"""Bodies and parameters sent to a server process: what is refused, and how early."""

import contextlib
import json
import socket
from typing import Any

import httpx
import pytest
from tests.http.conftest import BODY, HOST, JSON, answer_to, check_problem


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(connection: socket.socket) -> None:
    status, headers, problem = answer_to(
        connection, b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 99999999999\r\n\r\n"
    )
    assert status == 413
    check_problem(headers, problem, "content_too_large")


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (b"GET /executions/none HTTP/1.1\r\n", HOST, 404),
        (b"GET /executions/none?x=1 HTTP/1.1\r\n", HOST, 422),
        (b"POST /execute?x=1 HTTP/1.1\r\n", JSON, 422),
        (b"POST /execute HTTP/1.1\r\n", JSON + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 422),
    ],
)
def test_what_the_body_does_not_matter_for_does_not_wait_for_it(
    connection: socket.socket, begin: bytes, more: bytes, status: int
) -> None:
    connection.settimeout(20)
    assert answer_to(connection, begin + more + b"Content-Length: 5\r\n\r\n")[0] == status


def test_a_body_is_asked_for_before_values_are_looked_at(connection: socket.socket) -> None:
    head = b"POST /execute?wait=31 HTTP/1.1\r\n" + JSON + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    connection.sendall(head)
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    assert answer_to(connection, b"{}   ")[0] == 422


def test_a_body_that_does_not_say_it_is_too_large_is_refused_when_it_is(api: httpx.Client) -> None:
    pieces = (b" " * (1 << 20) for _ in range(20))
    refused = api.post("/execute", content=pieces, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (413, "content_too_large")


@pytest.mark.parametrize("when", ["at first", "again, after clients have left"])
def test_large_bodies_that_come_in_at_once_are_bounded_together(server: Any, api: httpx.Client, when: str) -> None:
    url, size = httpx.URL(server.url), 15 << 20
    head = b"POST /execute HTTP/1.1\r\n" + JSON + f"Content-Length: {size}\r\n\r\n".encode()
    large: dict[str, Any] = {"content": b" " * size, "headers": {"Content-Type": "application/json"}}
    with contextlib.ExitStack() as stack:
        for _ in range(8):  # 120 of 128 MiB
            slow = stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=30))
            slow.sendall(head + b" " * (size - 1))  # all but the last byte
        refused = api.post("/execute", **large)
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_bodies"), when
        assert refused.headers["Retry-After"] == "5"
        assert api.post("/execute", json={"project": "p", "code": "result 1"}).status_code == 202
        assert answer_to(slow, b" ")[0] == 400
        assert api.post("/execute", **large).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "location", "says"),
    [
        ("POST", "/execute?waits=1", "query.waits", "known: wait"),
        ("GET", "/executions?projects=p", "query.projects", "known: cursor, limit, project, status"),
        ("POST", "/executions/x/cancel?wait=1", "query.wait", "known: none here"),
        ("GET", "/executions?limit=1&limit=2", "query.limit", "given 2 times"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_422(
    api: httpx.Client, method: str, path: str, location: str, says: str
) -> None:
    refused = api.request(method, path, json=json.loads(BODY) if path.startswith("/execute?") else None)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert [error["location"] for error in refused.json()["errors"]] == [location]
    assert says in refused.json()["errors"][0]["message"]


def test_two_idempotency_keys_are_422(api: httpx.Client) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "other")]
    refused = api.post("/execute", json=json.loads(BODY), headers=keys)
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (422, "header.idempotency-key")


def test_a_compressed_body_is_415(api: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert api.post("/execute", content=b"\x1f\x8b", headers=headers).status_code == 415
