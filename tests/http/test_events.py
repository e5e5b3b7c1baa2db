"""The events of an execution over real HTTP: what is sent when, and that lost connections repeat and lose none."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.http.conftest import Received, client_of, finished, follow, submit, text_of, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

CONFIG = """
projects:
  p: {backend: scripted, replicas: 4, limits: {shutdown_grace: 0}}
  m: {backend: mock}
"""
HOSTILE = "\r\r\n\n\ndata: x\n\nid: 1\nevent: result\n: c\x00\x85\u2028\u2029\x1c\x0b\ufeff😀é\ud7ff\U0010ffff end"


@pytest.fixture(scope="module")
def api(serve_all: Serve) -> Iterator[httpx.Client]:
    with client_of(serve_all(CONFIG)) as client:
        yield client


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_an_execution_from_its_beginning_to_its_end(api: httpx.Client) -> None:
    path = submit(api, "say before\nask who?\nerr after\nremember a.b 1")
    seen = []
    for event in follow(api, path):
        seen.append(event)
        if event.type == "llm_request":
            assert (event.data["prompt"], event.data["model"], event.data["id"]) == ("who?", "default", 1)
            api.post(f"{path}/respond", json={"response": "me", "request_id": 1})
    statuses = [event.data["status"] for event in seen if event.type == "status"]
    assert statuses[-3:] == ["awaiting_llm", "running", "completed"]
    assert [event.type for event in seen if event.type != "status"] == ["stdout", "llm_request", "stderr", "result"]
    assert (text_of(seen), text_of(seen, "stderr")) == ("before\n", "after\n")
    polled = api.get(path).json()
    assert seen[-1].data == {name: value for name, value in polled.items() if name not in ("stdout", "stderr")}
    assert seen[-1].data["memory_updates"] == {"a.b": 1}


def test_the_output_that_led_to_a_question_comes_before_it(api: httpx.Client) -> None:
    path = submit(api, "ask first\nsay so\nask second")
    until(api, path, "awaiting_llm")
    events = follow(api, path)
    assert next(events).data["llm_request_ids"] == [1]
    api.post(f"{path}/respond", json={"response": "x"})
    later = [next(events) for _ in range(3)]
    while later[-1].type != "llm_request" or later[-1].data["id"] != 2:
        later.append(next(events))
    kinds = [(event.type, event.data.get("status")) for event in later]
    assert kinds[-3:] == [("stdout", None), ("status", "awaiting_llm"), ("llm_request", None)]
    events.close()  # type: ignore[attr-defined]
    api.post(f"{path}/cancel")


def test_several_questions_at_once_are_told_one_by_one(api: httpx.Client) -> None:
    path = submit(api, "ask a|b|c")
    asked = []
    for event in follow(api, path):
        if event.type == "llm_request":
            asked.append(event.data["id"])
            if len(asked) == 3:
                answers = [{"request_id": number, "response": "x"} for number in asked]
                api.post(f"{path}/respond", json={"responses": answers})
    assert asked == [1, 2, 3]


def test_output_is_there_while_the_script_runs(api: httpx.Client) -> None:
    path = submit(api, "say now\nsleep 600")
    for event in follow(api, path):
        if event.type == "stdout":
            assert event.data == {"text": "now\n"}
            api.post(f"{path}/cancel")
    assert (event.type, event.data["error_type"]) == ("result", "cancelled")


def test_a_mock_execution_has_events_as_well(api: httpx.Client) -> None:
    path = submit(api, "print('hi')", project="m")
    *_, last = follow(api, path)
    assert (last.type, last.data["status"]) == ("result", "completed")


def test_the_response_is_for_no_cache_and_no_proxys_buffer(api: httpx.Client) -> None:
    with api.stream("GET", f"{finished(api, 'say x')}/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.read().startswith(b"retry: 1000\n\n")


def test_output_cannot_forge_an_event_also_for_clients_that_split_lines_anywhere(api: httpx.Client) -> None:
    written = HOSTILE.encode() + b"\xff\xed\xa0\x80"  # and what is no UTF-8: a lone surrogate
    path = finished(api, f"hex {written.hex()}")
    *events, result = follow(api, path)
    assert text_of(events) == HOSTILE + "\ufffd" * 4 == api.get(path).json()["stdout"]
    assert result.type == "result"
    raw = api.get(f"{path}/events").text
    fields = [line.partition(": ")[0] for line in raw.splitlines() if line]
    assert fields == ["retry", *["event", "data", "id"] * (len(events) + 1)]


# --- going on where it broke off -------------------------------------------------------------------------------------


def test_after_each_event_exactly_the_others_follow(api: httpx.Client) -> None:
    path = submit(api, f"say {'é😀' * 20_000}\nerr {'x' * 20_000}\nask a|b")
    until(api, path, "awaiting_llm")
    paused: list[Received] = []
    for event in follow(api, path):
        paused.append(event)
        if event.type == "llm_request" and event.data["id"] == 2:
            break
    for number, event in enumerate(paused[:-1]):
        assert next(follow(api, path, event.id)) == paused[number + 1]
    api.post(f"{path}/respond", json={"responses": [{"request_id": n, "response": "x"} for n in (1, 2)]})
    api.get(path, params={"wait": 30})
    whole = list(follow(api, path))
    for number, seen in enumerate(whole[:-1]):
        assert list(follow(api, path, seen.id)) == whole[number + 1 :]
    for number, seen in enumerate(paused):  # what was seen while it ran is as good
        known, rest = paused[: number + 1], list(follow(api, path, seen.id))
        assert text_of(known + rest) == "é😀" * 20_000 + "\n"
        assert text_of(known + rest, "stderr") == "x" * 20_000 + "\n"


def test_a_cut_at_any_byte_repeats_nothing_and_loses_nothing(api: httpx.Client) -> None:
    path = finished(api, f"say {'aé😀' * 7_000}\nhex {HOSTILE.encode().hex()}\nerr é")
    whole = api.get(f"{path}/events").content
    expected = list(follow(api, path))
    for cut in [*range(60), *random.sample(range(len(whole)), 100), *range(len(whole) - 60, len(whole))]:
        got = [event for event in whole[:cut].split(b"\n\n")[:-1] if b"data: " in event]
        last_id = got[-1].rpartition(b"id: ")[2].decode() if got else ""
        assert list(follow(api, path, last_id)) == expected[len(got) :], cut


def test_after_the_result_nothing_follows_and_browsers_stop_asking(api: httpx.Client) -> None:
    path = finished(api, "say x")
    *_, result = follow(api, path)
    answer = api.get(f"{path}/events", headers={"Last-Event-ID": result.id})
    assert (answer.status_code, answer.content) == (204, b"")


def test_who_cannot_set_a_header_sends_a_query_parameter_and_the_header_counts(api: httpx.Client) -> None:
    path = finished(api, "say x")
    first, second, *rest = follow(api, path)
    by_query = api.get(f"{path}/events", params={"last_event_id": first.id})
    assert by_query.content == api.get(f"{path}/events", headers={"Last-Event-ID": first.id}).content
    both = api.get(f"{path}/events", params={"last_event_id": first.id}, headers={"Last-Event-ID": second.id})
    assert both.text.count("event: ") == len(rest)
    assert api.get(f"{path}/events", params={"last_event_id": ""}).text.count("event: ") == len(rest) + 2


def test_more_than_there_is_is_nothing_missing(api: httpx.Client) -> None:
    """This happens after a crash of the server, which stores output only at each pause and at the end."""
    path = finished(api, "say x")
    first = next(follow(api, path))
    tag = first.id.partition(".")[0]
    far = "9" * 15
    assert [event.type for event in follow(api, path, f"{tag}.{far}.{far}.{far}.{far}")] == ["status", "result"]


@pytest.mark.parametrize(
    "given", ["1", "-1", "0", "x" * 90, "{}.1.2.3", "{}.1.2.3.4.5", "{}.-1.0.0.0", "{}.1.0.0." + "9" * 16, "{}.", "%00"]
)
@pytest.mark.parametrize("how", ["header", "query"])
def test_an_id_that_was_never_sent_is_refused_with_the_reason(api: httpx.Client, given: str, how: str) -> None:
    path = finished(api, "say x")
    given = given.format(next(follow(api, path)).id.partition(".")[0])
    sent = {"headers": {"Last-Event-ID": given}} if how == "header" else {"params": {"last_event_id": given}}
    answer = api.get(f"{path}/events", **sent)  # type: ignore[arg-type]  # either is
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "not the id of an event" in answer.json()["detail"]


def test_the_end_of_what_is_not_over_is_refused(api: httpx.Client) -> None:
    """An EventSource would never reconnect after a 204."""
    path = submit(api, "sleep 600")
    tag = next(follow(api, path)).id.partition(".")[0]
    answer = api.get(f"{path}/events", headers={"Last-Event-ID": f"{tag}.end"})
    assert (answer.status_code, answer.json()["detail"].partition(": ")[2]) == (
        422,
        "not the id of an event: this execution has not finished",
    )
    api.post(f"{path}/cancel")


def test_an_id_of_another_execution_is_refused(api: httpx.Client) -> None:
    path, other = finished(api, "say x"), finished(api, "say y")
    for event in follow(api, other):
        answer = api.get(f"{path}/events", headers={"Last-Event-ID": event.id})
        assert (answer.status_code, "another execution" in answer.json()["detail"]) == (422, True)


def test_an_id_of_any_size_is_answered(api: httpx.Client) -> None:
    path = finished(api, "say x")
    assert api.get(f"{path}/events", headers={"Last-Event-ID": "1" * 5000}).status_code == 422
