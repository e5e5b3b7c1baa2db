"""Following executions over real HTTP: waiting for news, cancelling, listing."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

CONFIG = """
projects:
  p: {backend: scripted, replicas: 3}
  single: {backend: scripted}
  listed: {backend: scripted, replicas: 2}
  hasty: {backend: scripted, limits: {timeout: 1}}
"""


@pytest.fixture(scope="module")
def api(serve_all: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_all(CONFIG).url, timeout=30) as client:
        while client.get("/ready").status_code != 200:
            time.sleep(0.01)
        yield client


def begin(api: httpx.Client, code: str, project: str = "p", wait: float = 0) -> str:
    return api.post("/execute", params={"wait": wait}, json={"project": project, "code": code}).headers["location"]


def seconds_of(call: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


# --- wait and since --------------------------------------------------------------------------------------------------


@pytest.mark.timed
def test_a_post_that_waits_is_202_while_it_still_goes_on(api: httpx.Client) -> None:
    took, answer = seconds_of(
        lambda: api.post("/execute", params={"wait": 0.5}, json={"project": "p", "code": "say a\nsleep 60"})
    )
    assert took >= 0.5
    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["stdout"]) == (202, "running", "a\n")
    api.post(f"{answer.headers['location']}/cancel")


def test_a_get_that_waits_answers_when_it_is_over_and_not_before(api: httpx.Client) -> None:
    path = begin(api, "sleep 0.5")
    assert api.get(path).json()["status"] in ("pending", "running")
    took, answer = seconds_of(lambda: api.get(path, params={"wait": 30}))
    assert (answer.json()["status"], took < 20) == ("completed", True)
    assert seconds_of(lambda: api.get(path, params={"wait": 30}))[0] < 5


def test_since_without_wait_and_with_another_version_answers_at_once(api: httpx.Client) -> None:
    path = begin(api, "ask ?", wait=20)
    version = api.get(path).json()["version"]
    for query in ({"since": version}, {"wait": 30, "since": version - 1}, {"wait": 30, "since": version + 9}):
        took, answer = seconds_of(partial(api.get, path, params=query))
        assert (answer.json()["version"], took < 5) == (version, True)
    api.post(f"{path}/cancel")


def test_the_version_counts_changes_of_status_and_requests_and_no_output(api: httpx.Client) -> None:
    path = begin(api, "say a\nsay b\nask one|two\nsay c", wait=20)
    versions: list[int] = []
    status = ""
    while status != "completed":
        shown = api.get(path, params={"wait": 20, "since": versions[-1]} if versions else {}).json()
        versions.append(shown["version"])
        if (status := shown["status"]) == "awaiting_llm" and len(shown["llm_requests"]) == 2:
            for number in (1, 2):
                api.post(f"{path}/respond", json={"request_id": number, "response": "x"})
    assert versions == sorted(set(versions))
    assert versions[-1] == 6  # running, two questions, two answers, completed


def test_everybody_who_waits_is_told(api: httpx.Client) -> None:
    path = begin(api, "ask ?", wait=20)
    version = api.get(path).json()["version"]
    with ThreadPoolExecutor(10) as clients:
        waiting = [clients.submit(api.get, path, params={"wait": 25, "since": version}) for _ in range(10)]
        time.sleep(0.2)
        api.post(f"{path}/respond", json={"response": "x"})
        assert all(answer.result().json()["version"] > version for answer in waiting)


def test_a_client_that_goes_away_cancels_nothing(api: httpx.Client) -> None:
    body = b'{"project": "p", "code": "sleep 0.5\\nresult 1"}'
    url = api.base_url
    with socket.create_connection((url.host, url.port or 0)) as connection:
        head = "POST /execute?wait=30 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.2)
    newest = api.get("/executions", params={"limit": 1, "project": "p"}).json()["executions"][0]["execution_id"]
    assert api.get(f"/executions/{newest}", params={"wait": 20}).json()["result"] == 1


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_what_waits_what_runs_and_what_asks(api: httpx.Client) -> None:
    running = begin(api, "say so far\nsleep 60", "single", wait=0.3)
    pending = begin(api, "result 1", "single")
    asking = begin(api, "ask ?", wait=20)
    for path, status, started in (
        (pending, "pending", False),
        (running, "running", True),
        (asking, "awaiting_llm", True),
    ):
        assert api.get(path).json()["status"] == status
        answer = api.post(f"{path}/cancel")
        shown = answer.json()
        assert (answer.status_code, shown["status"], shown["error_type"]) == (200, "error", "cancelled")
        assert (shown["result"], shown["llm_request"], shown["llm_requests"]) == (None, None, [])
        assert (shown["started_at"] is not None) == started
        assert api.post(f"{path}/cancel").json() == shown == api.get(path).json()
    assert api.get(running).json()["stdout"] == "so far\n"


@pytest.mark.parametrize(
    ("project", "code", "status"),
    [("p", "result 1", "completed"), ("p", "fail x", "error"), ("hasty", "sleep 60", "timeout")],
)
def test_cancel_leaves_what_is_over_as_it_is(api: httpx.Client, project: str, code: str, status: str) -> None:
    path = api.post("/execute?wait=20", json={"project": project, "code": code, "timeout": 1}).headers["location"]
    shown = api.get(path).json()
    assert shown["status"] == status
    answer = api.post(f"{path}/cancel")
    assert (answer.status_code, answer.json()) == (200, shown)


def test_cancel_while_an_answer_is_on_its_way_ends_in_one_of_both(api: httpx.Client) -> None:
    for _ in range(10):
        path = begin(api, "ask ?", wait=20)
        with ThreadPoolExecutor(2) as clients:
            answer = clients.submit(api.post, f"{path}/respond", json={"response": "x"})
            cancel = clients.submit(api.post, f"{path}/cancel")
        assert answer.result().status_code in (200, 409)
        over = cancel.result().json()
        assert (over["status"], over["error_type"]) in (("completed", None), ("error", "cancelled"))
        assert api.get(path).json() == over


# --- list ------------------------------------------------------------------------------------------------------------


def test_a_list_is_by_project_and_status_and_its_pages_stand_while_new_ones_come(api: httpx.Client) -> None:
    made = [begin(api, "result 1", "listed", wait=20) for _ in range(7)]
    asking = begin(api, "ask ?", "listed", wait=20)
    begin(api, "result 1", "p", wait=20)

    def page(**query: str | int) -> dict[str, Any]:
        answer: dict[str, Any] = api.get("/executions", params={"project": "listed", **query}).json()
        return answer

    [only] = page(status="awaiting_llm")["executions"]
    assert asking == f"/executions/{only['execution_id']}"
    assert set(only) == {
        *("execution_id", "project", "status", "created_at", "started_at", "finished_at", "error_type"),
        *("exit_code", "version"),
    }
    found: list[str] = []
    query: dict[str, str | int] = {"status": "completed", "limit": 3}
    while True:
        shown = page(**query)
        found += [f"/executions/{each['execution_id']}" for each in shown["executions"]]
        if shown["next_cursor"] is None:
            break
        query["cursor"] = shown["next_cursor"]
        begin(api, "result 1", "listed", wait=20)
    assert found == made[::-1]
    api.post(f"{asking}/cancel")
    assert page(status="awaiting_llm") == {"executions": [], "next_cursor": None}
