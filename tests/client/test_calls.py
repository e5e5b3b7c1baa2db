"""Both clients against a real server: what they return and raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airlock.client import (
    AccessDenied,
    Airlock,
    AsyncAirlock,
    Conflict,
    ExecutionStatus,
    InvalidRequest,
    NotFound,
    ProblemError,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

pytestmark = pytest.mark.anyio

CONFIG = """
projects:
  p: {backend: scripted, replicas: 2}
  off: {backend: scripted, replicas: 0}
  bad: {backend: {type: scripted, unavailable: No sandbox.}}
"""


@pytest.fixture(scope="module")
def url(serve_all: Serve) -> str:
    return serve_all(CONFIG).url


@pytest.fixture
def airlock(url: str) -> Iterator[Airlock]:
    with Airlock(url, retry_for=20) as client:
        yield client


# --- what is answered -------------------------------------------------------------------------------------------------


def test_submit_get_respond(airlock: Airlock) -> None:
    execution_id = airlock.submit("ask who\nsay bye", project="p")
    asking = airlock.get(execution_id, wait=10)
    assert asking.status is ExecutionStatus.awaiting_llm
    [request] = asking.open_llm_requests
    assert request.prompt == "who"
    airlock.respond(execution_id, "me", request_id=request.id)
    over = airlock.get(execution_id, wait=10)
    assert (over.result, over.stdout) == ("me", "bye\n")


def test_get_with_since_waits_for_another_version(airlock: Airlock) -> None:
    execution_id = airlock.submit("ask who", project="p")
    asking = airlock.get(execution_id, wait=10)
    assert airlock.get(execution_id, wait=0.2, since=asking.version).version == asking.version
    airlock.cancel(execution_id)
    assert airlock.get(execution_id, wait=10, since=asking.version).error_type == "cancelled"


def test_cancel_is_safe_to_repeat(airlock: Airlock) -> None:
    execution_id = airlock.submit("sleep 600", project="p")
    assert [airlock.cancel(execution_id).error_type for _ in range(2)] == ["cancelled", "cancelled"]


def test_projects_up_and_down(airlock: Airlock) -> None:
    names = {project.name: project.status for project in airlock.projects()}
    assert (names["p"], names["off"]) == ("up", "down")
    assert (airlock.up("off", 2).replicas, airlock.down("off").status) == (2, "down")


async def test_the_async_client_has_the_same_calls(url: str) -> None:
    async with AsyncAirlock(url) as client:
        execution_id = await client.submit("ask who", project="p")
        [request] = (await client.get(execution_id, wait=10)).open_llm_requests
        await client.respond(execution_id, "me", request_id=request.id)
        assert (await client.get(execution_id, wait=10)).result == "me"
        assert (await client.cancel(execution_id)).is_completed
        assert {project.name for project in await client.projects()} == {"p", "off", "bad"}
        assert (await client.up("off")).status == "up"
        assert (await client.down("off")).status == "down"
        with pytest.raises(NotFound):
            await client.get("nobody")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_an_unknown_execution_is_not_found(airlock: Airlock) -> None:
    with pytest.raises(NotFound) as raised:
        airlock.get("nobody")
    assert (raised.value.status, raised.value.code) == (404, "execution_not_found")
    assert raised.value.request_id


@pytest.mark.parametrize("name", ["../projects", "a/b", "a?b", "a%2fb", "é", "x" * 2000])
def test_an_id_is_one_part_of_the_path_whatever_it_contains(airlock: Airlock, name: str) -> None:
    with pytest.raises(ProblemError):
        airlock.get(name)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_an_id_that_would_lead_elsewhere_is_a_value_error(airlock: Airlock, name: str) -> None:
    with pytest.raises(ValueError, match="not a valid id or name"):
        airlock.cancel(name)


def test_a_wrong_field_is_named(airlock: Airlock) -> None:
    with pytest.raises(InvalidRequest) as raised:
        airlock.run("say hi", project="p", timeout=-1)
    assert raised.value.code == "invalid_request"
    assert "timeout" in raised.value.errors[0]


def test_what_no_json_can_hold_is_a_value_error(airlock: Airlock) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        airlock.run("say \ud800", project="p")


def test_a_project_that_is_down_is_a_conflict(airlock: Airlock) -> None:
    with pytest.raises(Conflict) as raised:
        airlock.submit("say hi", project="bad")
    assert raised.value.code == "project_down"
    assert "No sandbox" in raised.value.detail


def test_up_that_fails_has_the_remedy_and_is_not_tried_again(airlock: Airlock) -> None:
    with pytest.raises(Unavailable, match="Mend it") as raised:
        airlock.up("bad")
    assert (raised.value.code, raised.value.retry_after) == ("backend_unavailable", 30)


def test_an_answer_that_nobody_waits_for_is_a_conflict(airlock: Airlock) -> None:
    execution_id = airlock.submit("say hi", project="p")
    airlock.get(execution_id, wait=10)
    with pytest.raises(Conflict) as raised:
        airlock.respond(execution_id, "me")
    assert raised.value.code == "not_awaiting_llm"


def test_a_key_is_sent_and_its_lack_is_access_denied(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url = serve(CONFIG, AIRLOCK_API_KEY="correct horse battery").url
    with Airlock(url) as client, pytest.raises(AccessDenied) as raised:
        client.projects()
    assert raised.value.code == "unauthorized"
    with Airlock(url, "correct horse battery") as client:
        assert client.projects()
    monkeypatch.setenv("AIRLOCK_API_KEY", "correct horse battery")
    monkeypatch.setenv("AIRLOCK_URL", url)
    with Airlock() as client:
        assert client.projects()
