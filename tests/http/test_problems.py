"""Problems: how a server process answers unknown paths and methods."""

import socket

import httpx
import pytest
from tests.http.conftest import HOST, answer_to


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/projects/", 404),
        ("//projects", 404),
        ("/executions/%FF%FE", 404),
        ("/executions/%ZZ", 404),
        ("/executions/%00", 404),
        ("/executions/a%2Fb", 404),
        ("/executions/..%2F..%2Fprojects", 404),
        ("/executions?cursor=%FF", 422),
        ("/executions?status=%ED%A0%80", 422),
        ("/executions?project=%00", 422),
        ("/executions?limit=%ZZ", 422),
        ("/executions?limit=1&limit=x", 422),
    ],
)
def test_a_strange_path_is_a_problem(connection: socket.socket, path: str, status: int) -> None:
    got, headers, problem = answer_to(connection, f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/execute", "POST"),
        ("HEAD", "/execute", "POST"),
        ("OPTIONS", "/execute", "POST"),
        ("DELETE", "/executions/x", "GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    refused = api.request(method, path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert refused.json()["code"] == "method_not_allowed"
