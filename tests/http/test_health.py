"""`GET /ready` of real servers: whether a load balancer should send requests here."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi.testclient import TestClient

from airlock.api import app
from airlock.gateway import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

BAD_AND_GOOD = "projects: {bad: {backend: {type: scripted, unavailable: No sandbox.}}, good: {backend: mock}}\n"
KEYS = f"""
server:
  keys:
    - {{name: all, sha256: {keys.sha256("all")}}}
    - {{name: good, sha256: {keys.sha256("good")}, projects: [good]}}
    - {{name: bad, sha256: {keys.sha256("bad")}, projects: [bad]}}
"""


def ready(server: RunningServer, key: str = "") -> httpx.Response:
    return httpx.get(f"{server.url}/ready", headers={"Authorization": f"Bearer {key}"} if key else {})


def becomes_ready(server: RunningServer) -> bool:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        if ready(server).status_code == 200:
            return True
        time.sleep(0.05)
    return False


def test_a_server_whose_projects_are_up_is_ready(serve: Serve) -> None:
    response = ready(serve("projects: {echo: {backend: mock}}\n"))
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


def test_an_app_without_a_lifespan_is_ready_as_its_projects_come_up_on_first_use() -> None:
    assert TestClient(app).get("/ready").json() == {"status": "ready"}


def test_a_project_that_starts_makes_it_wait_and_is_named(serve: Serve) -> None:
    server = serve("projects: {slow: {backend: {type: scripted, start: 2}}}\n")
    response = ready(server)
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["errors"] == [{"location": "projects.slow", "message": "installing"}]
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert becomes_ready(server)


def test_a_project_that_failed_makes_it_not_ready_until_it_is_put_down(serve: Serve) -> None:
    server = serve(BAD_AND_GOOD)
    server.line_with("project bad is down")
    response = ready(server)
    assert response.status_code == 503
    assert response.json()["errors"] == [{"location": "projects.bad", "message": "No sandbox. Mend it."}]
    httpx.post(f"{server.url}/projects/bad/down")
    assert ready(server).status_code == 200


def test_a_project_that_is_down_on_purpose_does_not_count(serve: Serve) -> None:
    assert ready(serve("projects: {off: {backend: scripted, replicas: 0}}\n")).status_code == 200


@pytest.mark.parametrize(
    ("key", "shown"),
    [("", []), ("guess", []), ("good", []), ("bad", ["projects.bad"]), ("all", ["projects.bad"])],
)
def test_with_keys_a_reason_is_shown_to_those_who_may_use_the_project(serve: Serve, key: str, shown: list[Any]) -> None:
    server = serve(KEYS + BAD_AND_GOOD)
    server.line_with("project bad is down")
    response = ready(server, key)
    assert response.status_code == 503
    assert [error["location"] for error in response.json()["errors"]] == shown
    assert ("visible only to keys that may use them" in response.json()["detail"]) is not bool(shown)
    assert ("bad" in response.text) == ("No sandbox" in response.text) == bool(shown)


def test_a_server_that_drains_is_alive_and_not_ready(serve: Serve) -> None:
    server = serve("projects: {p: {backend: scripted}}\n")
    assert becomes_ready(server)
    httpx.post(f"{server.url}/execute", json={"project": "p", "code": "sleep 3"})
    server.process.send_signal(signal.SIGTERM)
    server.line_with("shutting down")
    give_up = time.monotonic() + 5
    while (response := ready(server)).status_code == 200 and time.monotonic() < give_up:
        time.sleep(0.02)
    assert (response.status_code, response.json()["code"]) == (503, "shutting_down")
    assert int(response.headers["retry-after"]) > 0
    assert httpx.get(f"{server.url}/health").status_code == 200
