"""What the client says of replies that it does not expect: from something else, or from a newer server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airlock.client import (
    Airlock,
    NotAirlock,
    ProblemError,
    ServerFault,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Network

    MakeNetwork = Callable[[str | None], Network]

pytestmark = pytest.mark.anyio


# --- somebody else ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "content_type", "content"),
    [
        ("200 OK", "text/html", "<h1>It works!</h1>"),
        ("200 OK", "application/json", "{}"),
        ("200 OK", "application/json", '{"projects": [{"name": 1}]}'),
        ("200 OK", "application/json", "[" * 100_000),
        ("200 OK", "application/json", '{"projects": NaN}'),
        ("200 OK", "application/json", ""),
        ("204 No Content", "text/plain", ""),
        ("404 Not Found", "text/html", "<h1>Not Found</h1>"),
        ("401 Unauthorized", "text/html", "log in"),
        ("400 Bad Request", "application/problem+json", '{"status": "x"}'),
    ],
)
def test_what_is_not_airlock_is_said_to_be_so(
    network: MakeNetwork, status: str, content_type: str, content: str
) -> None:
    other = network(None)
    other.replies("/projects", status, content, f"Content-Type: {content_type}")
    with Airlock(other.url) as client, pytest.raises(NotAirlock) as raised:
        client.projects()
    message = str(raised.value)
    assert message.startswith(f"GET /projects was answered with {status[:3]} ({content_type}), but not by Airlock: ")
    assert message.endswith("; is the URL right?")
    assert len(message) < 500
    assert "\n" not in message


def test_a_redirect_is_not_followed_and_says_where_it_leads(network: MakeNetwork) -> None:
    other = network(None)
    other.replies("/projects", "308 Permanent Redirect", "", "Location: https://airlock.example/projects")
    with Airlock(other.url) as client, pytest.raises(NotAirlock, match=r"https://airlock\.example/projects: use that"):
        client.projects()


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00" * 100, b"HTTP/1.1 abc\r\n\r\n", b""])
def test_what_is_not_http_is_unreachable(network: MakeNetwork, garbage: bytes) -> None:
    other = network(None)
    other.sends("/projects", garbage)
    with Airlock(other.url, retry_for=0) as client, pytest.raises(Unreachable, match="no complete reply"):
        client.projects()


def test_content_that_cannot_be_decoded_is_not_airlock(network: MakeNetwork) -> None:
    other = network(None)
    other.replies("/projects", "200 OK", "plain", "Content-Encoding: gzip")
    with Airlock(other.url) as client, pytest.raises(NotAirlock, match="decoded"):
        client.projects()


def test_an_unknown_code_raises_its_family_with_the_code(network: MakeNetwork) -> None:
    newer = network(None)
    newer.replies("/projects", "409 Conflict", '{"status": 409, "code": "brand_new", "detail": "d", "more": [1]}')
    with Airlock(newer.url) as client, pytest.raises(ProblemError) as raised:
        client.projects()
    assert (type(raised.value).__name__, raised.value.code, raised.value.request_id) == ("Conflict", "brand_new", None)


def test_an_unknown_status_raises_the_base_class(network: MakeNetwork) -> None:
    newer = network(None)
    newer.replies("/projects", "418 Teapot", '{"status": 418, "code": "teapot", "detail": "d"}')
    with Airlock(newer.url) as client, pytest.raises(ProblemError) as raised:
        client.projects()
    assert (type(raised.value), raised.value.status) == (ProblemError, 418)


def test_a_fault_of_the_server_is_not_tried_again(network: MakeNetwork) -> None:
    broken = network(None)
    broken.replies("/projects", "500 Internal Server Error", "oops")
    with Airlock(broken.url) as client, pytest.raises(ServerFault, match="answered 500"):
        client.projects()


def test_fields_that_a_newer_server_adds_are_no_problem(network: MakeNetwork) -> None:
    newer = network(None)
    newer.replies("/executions/x", "200 OK", '{"execution_id": "x", "status": "running", "new": {"a": 1}}')
    with Airlock(newer.url) as client:
        assert client.get("x").status == "running"
