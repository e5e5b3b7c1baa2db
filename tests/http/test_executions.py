"""The REST API over real HTTP, against a server process."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

CONFIG = """
projects:
  p: {backend: scripted, replicas: 2}
  single: {backend: scripted}
  impatient: {backend: scripted, limits: {llm_timeout: 0.2}}
"""


@pytest.fixture(scope="module")
def api(serve_all: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve_all(CONFIG).url, timeout=30) as client:
        while any(project["status"] != "up" for project in client.get("/projects").json()["projects"]):
            time.sleep(0.01)
        yield client


def begin(api: httpx.Client, code: str, project: str = "p") -> str:
    """Submit a script and wait until it has finished or awaits an answer; returns its path."""
    answer = api.post("/execute?wait=20", json={"project": project, "code": code})
    assert answer.status_code == 200, answer.text
    return answer.headers["location"]


def paused_with(api: httpx.Client, code: str, requests: int) -> tuple[str, dict[str, Any]]:
    """Submit a script and wait until it has that many open LLM requests; returns its path and the response."""
    path = begin(api, code)
    shown = api.get(path).json()
    while len(shown["llm_requests"]) < requests:
        shown = api.get(path, params={"wait": 20, "since": shown["version"]}).json()
    return path, shown


# --- LLM requests ----------------------------------------------------------------------------------------------------


def test_all_open_llm_requests_are_shown_and_the_first_as_llm_request(api: httpx.Client) -> None:
    _, shown = paused_with(api, "ask a|b|c", 3)
    assert [(r["id"], r["prompt"], r["model"]) for r in shown["llm_requests"]] == [
        (1, "a", "default"),
        (2, "b", "default"),
        (3, "c", "default"),
    ]
    assert shown["llm_request"] == shown["llm_requests"][0]


def test_an_llm_request_expires_when_limits_llm_timeout_says(api: httpx.Client) -> None:
    _, shown = paused_with(api, "ask ?", 1)
    [request] = shown["llm_requests"]
    created, expires = (datetime.fromisoformat(request[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(seconds=600)
    assert created.utcoffset() == timedelta(0)
    assert abs(created.timestamp() - time.time()) < 60


def test_nothing_is_asked_any_more_once_it_is_over(api: httpx.Client) -> None:
    over = api.get(begin(api, "ask ?", "impatient"), params={"wait": 10, "since": 2}).json()
    assert (over["error_type"], over["llm_request"], over["llm_requests"]) == ("llm_timeout", None, [])


def test_answers_by_request_id_reach_their_requests_in_any_order(api: httpx.Client) -> None:
    path, _ = paused_with(api, "ask a|b|c", 3)
    for number, left in ((3, [1, 2]), (1, [2])):
        answer = api.post(f"{path}/respond", json={"request_id": number, "response": f"to {number}"})
        assert [request["id"] for request in answer.json()["llm_requests"]] == left
    api.post(f"{path}/respond", json={"response": "to the one that is shown"})
    assert api.get(path, params={"wait": 20}).json()["result"] == ["to 1", "to the one that is shown", "to 3"]


def test_several_answers_at_once(api: httpx.Client) -> None:
    path, _ = paused_with(api, "ask a|b|c", 3)
    responses = [{"request_id": number, "response": f"to {number}"} for number in (2, 3, 1)]
    assert api.post(f"{path}/respond", json={"responses": responses}).status_code == 200
    assert api.get(path, params={"wait": 20}).json()["result"] == ["to 1", "to 2", "to 3"]


def test_of_several_answers_none_is_taken_when_one_cannot_be(api: httpx.Client) -> None:
    path, before = paused_with(api, "ask a|b", 2)
    responses = [{"request_id": 1, "response": "x"}, {"request_id": 7, "response": "y"}]
    refused = api.post(f"{path}/respond", json={"responses": responses})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_awaiting_llm")
    assert "7" in refused.json()["detail"]
    after = api.get(path).json()
    assert (after["llm_requests"], after["version"]) == (before["llm_requests"], before["version"])


def test_an_error_for_an_answer_is_raised_in_the_script(api: httpx.Client) -> None:
    path, _ = paused_with(api, "ask ?", 1)
    assert api.post(f"{path}/respond", json={"request_id": 1, "error": "no budget"}).status_code == 200
    over = api.get(path, params={"wait": 20}).json()
    assert (over["error_type"], over["error"]) == ("script_error", "LLMError: no budget")


@pytest.mark.parametrize(
    "answer",
    [
        {"request_id": 1, "response": "x"},
        {"request_id": 1, "error": "x"},
        {"responses": [{"request_id": 1, "response": "x"}]},
    ],
    ids=["response", "error", "responses"],
)
@pytest.mark.parametrize("code", ["ask a\nask b", "ask a"], ids=["still asking", "over"])
def test_the_same_answer_again_changes_nothing(api: httpx.Client, code: str, answer: dict[str, Any]) -> None:
    path, _ = paused_with(api, code, 1)
    assert api.post(f"{path}/respond", json=answer).status_code == 200
    before = api.get(path, params={"wait": 20}).json()
    again = api.post(f"{path}/respond", json=answer)
    assert (again.status_code, again.json()["version"]) == (200, before["version"])


@pytest.mark.parametrize("other", [{"response": "y"}, {"error": "x"}])
@pytest.mark.parametrize("code", ["ask a\nask b", "ask a"], ids=["still asking", "over"])
def test_another_answer_to_the_same_request_is_409(api: httpx.Client, code: str, other: dict[str, Any]) -> None:
    path, _ = paused_with(api, code, 1)
    api.post(f"{path}/respond", json={"request_id": 1, "response": "x"})
    api.get(path, params={"wait": 20})
    refused = api.post(f"{path}/respond", json={"request_id": 1, **other})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_answered")


def test_a_response_without_id_is_409_once_nothing_is_asked(api: httpx.Client) -> None:
    path = begin(api, "result 1")
    refused = api.post(f"{path}/respond", json={"response": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_awaiting_llm")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_id": 1},
        {"error": "x"},
        {"response": None},
        {"response": 1},
        {"request_id": None, "response": "x"},
        {"request_id": 0, "response": "x"},
        {"request_id": "1", "response": "x"},
        {"request_id": 1, "response": "x", "error": "y"},
        {"responses": []},
        {"responses": [{"response": "x"}]},
        {"responses": [{"request_id": 1, "response": "x"}], "response": "x"},
        {"responses": [{"request_id": 1, "response": "x"}, {"request_id": 1, "response": "x"}]},
    ],
)
def test_an_answer_in_no_known_form_is_422_and_changes_nothing(body: dict[str, Any], api: httpx.Client) -> None:
    path, before = paused_with(api, "ask ?", 1)
    refused = api.post(f"{path}/respond", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert api.get(path).json()["version"] == before["version"]


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    ["9" * 4000, "[" * 99 + "]" * 99, "-0.0", "1e+308", '"\\u0000😀"', '{"__proto__":1,"":2}'],
    ids=["digits", "deep", "minus zero", "large", "text", "names"],
)
def test_a_result_comes_out_as_it_is(api: httpx.Client, result: str) -> None:
    shown = api.get(begin(api, f"result {result}"))
    assert f'"result":{result},' in shown.text


# --- times -----------------------------------------------------------------------------------------------------------


def test_times_of_an_execution_are_utc_and_in_order(api: httpx.Client) -> None:
    shown = api.get(begin(api, "sleep 0.05")).json()
    created, started, finished = (shown[name] for name in ("created_at", "started_at", "finished_at"))
    assert all(text.endswith("Z") for text in (created, started, finished))
    created, started, finished = map(datetime.fromisoformat, (created, started, finished))
    assert created <= started < finished < created + timedelta(seconds=20)
    assert shown["project"] == "p"


def test_what_did_not_happen_yet_has_no_time(api: httpx.Client) -> None:
    shown = paused_with(api, "ask ?", 1)[1]
    assert (shown["started_at"] is None, shown["finished_at"]) == (False, None)


def test_an_execution_that_was_never_started_has_no_start_and_no_run_time(api: httpx.Client) -> None:
    begun = api.post("/execute", json={"project": "single", "code": "sleep 60"}).headers["location"]
    waiting = api.post("/execute", json={"project": "single", "code": "result 1"}).headers["location"]
    cancelled = api.post(f"{waiting}/cancel").json()
    assert (cancelled["started_at"], cancelled["run_ms"], cancelled["execution_time_ms"]) == (None, 0, None)
    assert cancelled["finished_at"] is not None
    api.post(f"{begun}/cancel")


@pytest.mark.timed
def test_time_is_counted_as_queued_as_run_or_as_waiting_for_an_answer(api: httpx.Client) -> None:
    first = api.post("/execute", json={"project": "single", "code": "sleep 0.3"}).headers["location"]
    path = api.post("/execute", json={"project": "single", "code": "sleep 0.2\nask ?"}).headers["location"]
    api.get(path, params={"wait": 20})
    time.sleep(0.4)
    api.post(f"{path}/respond", json={"response": "x"})
    over = api.get(path, params={"wait": 20}).json()
    assert 250 < over["queued_ms"] < 5_000
    assert 200 <= over["run_ms"] == over["execution_time_ms"] < 5_000
    assert 400 <= over["llm_wait_ms"] < 5_000
    lasted = datetime.fromisoformat(over["finished_at"]) - datetime.fromisoformat(over["created_at"])
    assert abs(lasted / timedelta(milliseconds=1) - over["queued_ms"] - over["run_ms"] - over["llm_wait_ms"]) < 100
    assert api.get(first).json()["llm_wait_ms"] == 0


def test_waiting_for_a_slot_after_an_answer_counts_as_queued(api: httpx.Client) -> None:
    path = begin(api, "ask ?", "single")
    before = api.get(path).json()["queued_ms"]
    other = api.post("/execute", json={"project": "single", "code": "sleep 0.5"}).headers["location"]
    while api.get(other).json()["status"] != "running":
        time.sleep(0.01)
    assert api.post(f"{path}/respond", json={"response": "x"}).json()["status"] == "running"
    over = api.get(path, params={"wait": 20}).json()
    assert over["queued_ms"] - before > 200
    assert over["run_ms"] < 200
