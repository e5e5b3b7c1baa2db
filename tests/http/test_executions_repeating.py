"""Repeated requests: `Idempotency-Key` over real HTTP. tests/served/test_nothing_lost.py tests it over restarts."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

CONFIG = """
projects:
  p: {backend: scripted, replicas: 4}
  single: {backend: scripted, limits: {queue: 1}}
  down: {backend: scripted, replicas: 0}
"""
numbers = count()


@pytest.fixture(scope="module")
def api(serve_all: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_all(CONFIG).url, timeout=30) as client:
        while client.get("/projects").json()["projects"][0]["status"] != "up":
            time.sleep(0.01)
        yield client


@pytest.fixture
def send(api: httpx.Client) -> Callable[..., httpx.Response]:
    """Submit a script with an Idempotency-Key that no other test uses."""
    key = f"key-{next(numbers)}"

    def send(code: str, *, wait: float = 0, project: str = "p", **more: Any) -> httpx.Response:
        body = {"project": project, "code": code, **more}
        return api.post("/execute", params={"wait": wait}, json=body, headers={"Idempotency-Key": key})

    return send


Send = Callable[..., httpx.Response]


def test_the_same_request_again_is_the_first_ones_execution_as_it_is_now(send: Send) -> None:
    first = send("result 1")
    assert (first.status_code, first.json()["status"]) == (202, "pending")
    over = send("result 1", wait=20)
    assert (over.status_code, over.json()["status"]) == (200, "completed")
    again = send("result 1")
    assert (again.status_code, again.json()) == (202, {**first.json(), "status": "completed"})
    assert first.headers["location"] == over.headers["location"] == again.headers["location"]


def test_what_a_default_says_may_be_left_out(send: Send) -> None:
    first = send("result 1", timeout=60, settings={})
    assert send("result 1").json()["execution_id"] == first.json()["execution_id"]


@pytest.mark.parametrize(
    "other",
    [{"code": "result 2"}, {"project": "single"}, {"timeout": 59}, {"settings": {"a": ""}}, {"memory": {"a.b": None}}],
    ids=str,
)
def test_another_request_with_the_key_is_422_whatever_differs(send: Send, other: dict[str, Any]) -> None:
    first = send("result 1").json()["execution_id"]
    refused = send(**{"code": "result 1", **other})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert first in refused.json()["detail"]
    assert send("result 1").json()["execution_id"] == first


def test_the_same_request_many_times_at_once_runs_once(api: httpx.Client, send: Send) -> None:
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda number: send("sleep 0.3\nresult 1", wait=20 * (number % 2)), range(12)))
    assert {answer.status_code for answer in answers} == {200, 202}
    [execution_id] = {answer.json()["execution_id"] for answer in answers}
    newest = api.get("/executions", params={"limit": 2}).json()["executions"]
    assert [each["execution_id"] == execution_id for each in newest] == [True, False]


def test_of_two_requests_with_one_key_at_once_one_is_refused(send: Send) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda number: send(f"result {number % 2}"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] * 4 + [422] * 4
    assert len({answer.json()["execution_id"] for answer in answers if answer.status_code == 202}) == 1


def test_an_execution_that_asks_is_found_again_with_what_it_asks(send: Send) -> None:
    asking = send("ask ?", wait=20).json()
    again = send("ask ?", wait=20)
    assert again.status_code == 200
    assert (again.json()["execution_id"], again.json()["llm_requests"]) == (
        asking["execution_id"],
        asking["llm_requests"],
    )


def test_a_request_that_was_refused_leaves_the_key_free(api: httpx.Client, send: Send) -> None:
    assert send("result 1", project="down").status_code == 409
    assert send("result 1", project="nope").status_code == 404
    assert send("result 1", timeout=80_000).status_code == 422
    busy = [api.post("/execute", json={"project": "single", "code": "say busy\nsleep 60"})]
    while not api.get(busy[0].headers["location"]).json()["stdout"]:  # till then it is the one that waits
        time.sleep(0.01)
    busy.append(api.post("/execute", json={"project": "single", "code": "sleep 60"}))
    assert send("result 1", project="single").status_code == 503
    assert send("result 1").status_code == 202
    for each in busy:
        api.post(f"{each.headers['location']}/cancel")


def test_it_is_found_also_where_nothing_new_would_be_taken(api: httpx.Client, send: Send) -> None:
    first = send("result 1", project="single", wait=20).json()
    api.post("/projects/single/down")
    assert send("result 1", project="single", wait=20).json() == first
    api.post("/projects/single/up")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_422(api: httpx.Client, key: str) -> None:
    refused = api.post("/execute", json={"project": "p", "code": "x"}, headers={"Idempotency-Key": key})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["location"] == "header.idempotency-key"
