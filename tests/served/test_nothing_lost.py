"""No accepted execution is lost: a real server on a real file is stopped, killed and restarted."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import SCRIPTED, RunningServer

from airlock.testing import Crashes

Serve = Callable[..., RunningServer]

CONFIG = """
store: {type: sqlite, path: s.db}
projects:
  p:
    backend: scripted
    settings: {TOKEN: of-the-project}
    limits: {shutdown_grace: 0, queue: 20000, max_paused: 500}
"""
PATIENCE = 30.0  # seconds; only a guard against hanging
ROUNDS = 200 if os.environ.get("AIRLOCK_TEST_SOAK") else 3


def submit(client: httpx.Client, code: str, **more: Any) -> str:
    answer = client.post("/execute", json={"project": "p", "code": code}, **more)
    assert answer.status_code == 202, answer.text
    execution_id: str = answer.json()["execution_id"]
    return execution_id


def poll(client: httpx.Client, execution_id: str, *statuses: str) -> dict[str, Any]:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        answer: dict[str, Any] = client.get(f"/executions/{execution_id}", params={"wait": 1}).json()
        if answer["status"] in statuses:
            return answer
    raise AssertionError(answer)


def test_after_a_kill_finished_answer_waiting_run_and_begun_are_interrupted(serve: Serve) -> None:
    first = serve(CONFIG)
    with httpx.Client(base_url=first.url) as client:
        over = poll(client, submit(client, "say hello\nresult 3"), "completed")
        paused = submit(client, "say before\nask what?")
        poll(client, paused, "awaiting_llm")
        running = submit(client, "sleep 600")
        poll(client, running, "running")
        waiting = [submit(client, f"say {number}\nsetting TOKEN") for number in range(3)]
    first.process.kill()
    first.ended()
    with httpx.Client(base_url=serve(CONFIG).url) as client:
        assert client.get(f"/executions/{over['execution_id']}").json() == over
        for execution_id, doing in ((paused, "paused"), (running, "running")):
            ended = client.get(f"/executions/{execution_id}").json()
            assert (ended["status"], ended["error_type"]) == ("error", "interrupted")
            assert f"the server ended while the execution was {doing}" in ended["error"]
            refused = client.post(f"/executions/{execution_id}/respond", json={"response": "late"})
            assert (refused.status_code, refused.json()["code"]) == (409, "not_awaiting_llm")
            assert "interrupted" in refused.json()["detail"]
        assert client.get(f"/executions/{paused}").json()["stdout"] == "before\n"
        outputs = [poll(client, execution_id, "completed")["stdout"] for execution_id in waiting]
        assert outputs == [f"{number}\nof-the-project\n" for number in range(3)]


def test_what_waits_at_a_clean_stop_runs_after_the_restart(serve: Serve) -> None:
    first = serve(CONFIG)
    with httpx.Client(base_url=first.url) as client:
        running = submit(client, "sleep 600")
        poll(client, running, "running")
        waiting = submit(client, "say hello")
    first.process.terminate()
    assert first.ended() == 0
    with httpx.Client(base_url=serve(CONFIG).url) as client:
        assert client.get(f"/executions/{running}").json()["error_type"] == "interrupted"
        assert poll(client, waiting, "completed")["stdout"] == "hello\n"


def test_what_waits_for_a_project_that_is_gone_ends_with_the_reason(serve: Serve) -> None:
    first = serve(CONFIG)
    with httpx.Client(base_url=first.url) as client:
        poll(client, submit(client, "sleep 600"), "running")
        waiting = submit(client, "say hello")
    first.process.kill()
    first.ended()
    with httpx.Client(base_url=serve(CONFIG.replace("  p:", "  q:")).url) as client:
        ended = client.get(f"/executions/{waiting}").json()
        assert (ended["error_type"], "no project 'p'" in ended["error"]) == ("interrupted", True)


def test_second_server_on_the_same_store_refuses_to_start(serve: Serve) -> None:
    first = serve(CONFIG)
    assert first.url
    second = serve(CONFIG)
    assert second.ended() == 1
    assert "another server uses it (process" in "".join(second.printed)
    assert "Traceback" not in "".join(second.printed)
    assert httpx.get(f"{first.url}/health").status_code == 200


def test_damaged_file_is_refused_at_start(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"garbage" * 1000)
    server = serve(CONFIG)
    assert server.ended() == 1
    assert "restore it from a backup, or move it away" in "".join(server.printed)
    assert (tmp_path / "s.db").read_bytes() == b"garbage" * 1000


def test_settings_of_the_project_are_not_in_the_file(serve: Serve, tmp_path: Path) -> None:
    server = serve(CONFIG)
    with httpx.Client(base_url=server.url) as client:
        poll(client, submit(client, "result 1"), "completed")
    server.process.terminate()
    server.ended()
    assert b"of-the-project" not in (tmp_path / "s.db").read_bytes()


# --- Idempotency-Key -------------------------------------------------------------------------------------------------


def test_request_that_is_sent_again_makes_no_second_execution_also_after_a_restart(serve: Serve) -> None:
    first = serve(CONFIG)
    key = {"Idempotency-Key": "mine"}
    with httpx.Client(base_url=first.url) as client:
        once = submit(client, "say once", headers=key)
        assert submit(client, "say once", headers=key) == once
        poll(client, once, "completed")
    first.process.kill()
    first.ended()
    with httpx.Client(base_url=serve(CONFIG).url) as client:
        assert submit(client, "say once", headers=key) == once
        assert submit(client, "say once", headers={"Idempotency-Key": "other"}) != once
        other = client.post("/execute", json={"project": "p", "code": "say twice"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len(client.get("/executions").json()["executions"]) == 2


# --- list ------------------------------------------------------------------------------------------------------------


def test_list_goes_from_new_to_old_in_pages(serve: Serve) -> None:
    with httpx.Client(base_url=serve(CONFIG).url) as client:
        made = [submit(client, "say x") for _ in range(5)]
        poll(client, made[-1], "completed")
        found, cursor = [], None
        while True:
            page = client.get("/executions", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            found += [each["execution_id"] for each in page["executions"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert found == made[::-1]
        assert client.get("/executions", params={"status": "running"}).json() == {
            "executions": [],
            "next_cursor": None,
        }


@pytest.mark.parametrize(
    ("query", "field"),
    [("cursor=x", "cursor"), ("limit=0", "limit"), ("limit=9999", "limit"), ("status=done", "status")],
)
def test_list_refuses_what_it_cannot_mean(serve: Serve, query: str, field: str) -> None:
    answer = httpx.get(f"{serve(CONFIG).url}/executions?{query}")
    assert answer.status_code == 422
    assert field in answer.text


# --- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    codes = ["say x", "sleep 0.05", "ask ?", "result 1"]
    crashes = Crashes(tmp_path, "scripted", codes, environ={"PYTHONPATH": str(SCRIPTED)})
    crashes.kill(ROUNDS, within=0.5)
    found = crashes.finish()
    assert set(found) <= {None, "interrupted"}
    assert found[None]
