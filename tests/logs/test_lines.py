"""The events in the log: their loggers, fields and request ids."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.conftest import RunningServer
from tests.logs.conftest import Log

from airlock import Backend, BackendSettings, Job, LLMRequest, Outcome, Pool, Run, hookimpl
from airlock.api import create_app
from airlock.config import load_config
from airlock.gateway import keys
from airlock.logs import REQUEST_ID, event_logger, log_event
from airlock.logs.formats import JsonFormatter, PlainFormatter
from airlock.plugins.manager import Plugins

Serve = Callable[..., RunningServer]

SCRIPTED = "projects: {p: {backend: scripted}}\n"


# --- lines -----------------------------------------------------------------------------------------------------------


def test_an_event_below_the_level_is_not_logged(log: Log) -> None:
    log.logger.setLevel(logging.WARNING)
    log.write_with(PlainFormatter())
    log_event("execution accepted")
    assert log.text == ""


@pytest.mark.parametrize(
    ("event", "logger"),
    [
        ("execution accepted", "airlock.executions"),
        ("project up", "airlock.projects"),
        ("request refused", "airlock.requests"),
        ("store opened", "airlock.stores"),
    ],
)
def test_the_logger_of_an_event_is_named_after_what_it_is_about(log: Log, event: str, logger: str) -> None:
    log.write_with(JsonFormatter())
    log_event(event)
    assert json.loads(log.text)["logger"] == logger


def test_an_event_carries_the_id_of_the_current_request_unless_it_is_given_one(log: Log) -> None:
    log.write_with(PlainFormatter())
    REQUEST_ID.set("current")
    log_event("request refused", code="x")
    log_event("request refused", code="x", request_id="given")
    log_event("request refused", code="x", request_id=None)
    assert [line.partition("code=")[2] for line in log.text.splitlines()] == [
        "x request_id=current",
        "x request_id=given",
        "x",
    ]


def test_the_events_of_an_execution_keep_its_request_id_wherever_they_are_logged(log: Log) -> None:
    log.write_with(PlainFormatter())
    REQUEST_ID.set("its-own")
    log_its_event = event_logger("1b4e")
    REQUEST_ID.set("of-another-request")
    log_its_event("execution paused", llm_request=1)
    assert log.text.endswith("execution paused execution_id=1b4e request_id=its-own llm_request=1\n")


def test_the_events_of_an_execution_that_no_request_started_carry_no_request_id(log: Log) -> None:
    log.write_with(PlainFormatter())
    log_its_event = event_logger("1b4e")
    REQUEST_ID.set("of-another-request")
    log_its_event("execution finished")
    assert log.text.endswith("execution finished execution_id=1b4e\n")


# --- events of a real server -----------------------------------------------------------------------------------------


def events(server: RunningServer) -> list[dict[str, Any]]:
    """Return the events that a server has logged so far, in the JSON format."""
    lines = [json.loads(line) for line in list(server.printed)]
    return [line for line in lines if "event" in line]


def json_server(serve: Serve, config: str, **environ: str) -> tuple[RunningServer, str]:
    server = serve(config, "--log-format", "json", **environ)
    return server, json.loads(server.line_with("Listening on"))["message"].split()[-1]


def until_told(server: RunningServer, event: str, count: int = 1) -> list[dict[str, Any]]:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        found = [line for line in events(server) if line["event"] == event]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{event} was not told: {server.printed}")


def test_an_execution_is_told_from_acceptance_to_its_end_with_both_ids(serve: Serve) -> None:
    server, url = json_server(serve, SCRIPTED)
    until_told(server, "project up")
    body = {"project": "p", "code": "ask why\nbroken secret-of-the-script"}
    created = httpx.post(
        f"{url}/execute", json=body, params={"wait": 10}, headers={"X-Request-ID": "from-the-proxy"}
    ).json()
    execution_id = created["execution_id"]
    httpx.post(f"{url}/executions/{execution_id}/respond", json={"response": "private answer"})
    until_told(server, "execution finished")
    told = [line for line in events(server) if line["event"].startswith("execution")]
    assert [line["event"] for line in told] == [
        "execution accepted",
        "execution started",
        "execution paused",
        "execution answered",
        "execution finished",
    ]
    assert {line["logger"] for line in told} == {"airlock.executions"}
    assert {line["execution_id"] for line in told} == {execution_id}
    assert {line["request_id"] for line in told} == {"from-the-proxy"}
    assert told[0]["project"] == "p"
    assert told[1]["queued_ms"] >= 0
    assert (told[2]["llm_request"], told[3]["llm_request"], told[3]["answer"]) == (1, 1, "text")
    assert (told[4]["status"], told[4]["error_type"]) == ("error", "script_error")
    assert told[4]["run_ms"] >= 0
    log = "".join(server.printed)
    assert [text in log for text in ("secret-of-the-script", "why", "private answer")] == [False, False, False]


def test_an_execution_that_the_end_of_another_wakes_keeps_its_own_id(serve: Serve) -> None:
    server, url = json_server(serve, SCRIPTED)
    until_told(server, "project up")
    for request_id, code in (("holds-the-worker", "sleep 0.5"), ("waits-for-it", "say x")):
        httpx.post(f"{url}/execute", json={"project": "p", "code": code}, headers={"X-Request-ID": request_id})
    until_told(server, "execution finished", 2)
    told = [(line["event"], line["request_id"]) for line in events(server) if line["event"].startswith("execution")]
    assert sorted(told[:3]) == [
        ("execution accepted", "holds-the-worker"),
        ("execution accepted", "waits-for-it"),
        ("execution started", "holds-the-worker"),
    ]
    assert sorted(told[3:]) == [
        ("execution finished", "holds-the-worker"),
        ("execution finished", "waits-for-it"),
        ("execution started", "waits-for-it"),
    ]


class StaleBackend(Backend[BackendSettings]):
    """Asks in a callback that was scheduled during another request, as replacements of workers are."""

    type = "stale"

    async def scale(self, replicas: int) -> None:
        self.stale = copy_context()
        self.stale.run(REQUEST_ID.set, "of-another-request")

    def pool(self) -> Pool:
        return Pool(replicas=1, idle=1)

    async def execute(self, job: Job, run: Run) -> Outcome:
        async def work() -> str:
            await run.started()
            return await run.complete(LLMRequest(prompt="why"))

        return Outcome(result=await asyncio.create_task(work(), context=self.stale))


def test_an_execution_keeps_the_request_id_of_its_client_whoever_calls_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = Plugins.discover()
    plugins.register(SimpleNamespace(airlock_register_backends=hookimpl(lambda: [StaleBackend])))
    (tmp_path / "airlock.yaml").write_text("projects: {p: {backend: stale}}\n")
    config = load_config(tmp_path / "airlock.yaml", plugins, {})
    caplog.set_level(logging.INFO)
    with TestClient(create_app(config, plugins)) as client:
        created = client.post(
            "/execute", json={"project": "p", "code": "x"}, params={"wait": 10}, headers={"X-Request-ID": "mine"}
        ).json()
        client.post(f"/executions/{created['execution_id']}/respond", json={"response": "x"})
        client.get(f"/executions/{created['execution_id']}", params={"wait": 10})
    told = [vars(record) for record in caplog.records if "execution_id" in getattr(record, "fields", {})]
    assert [(record["event"], record["fields"]["request_id"]) for record in told] == [
        (f"execution {what}", "mine") for what in ("accepted", "started", "paused", "answered", "finished")
    ]


def test_refused_keys_and_quotas_are_told_with_the_name_and_never_the_key(serve: Serve) -> None:
    config = (
        f"server:\n  keys:\n    - {{name: reports, sha256: {keys.sha256('the-good-key')}, rate: 1/hour}}\n"
        "projects: {p: {backend: mock}}\n"
    )
    server, url = json_server(serve, config)
    body = {"project": "p", "code": "x"}
    for key, status in (("the-bad-key", 401), ("the-good-key", 202), ("the-good-key", 429)):
        answer = httpx.post(f"{url}/execute", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == status
    refused = until_told(server, "request refused", 2)
    assert [(line["code"], line.get("client"), line["path"]) for line in refused] == [
        ("unauthorized", None, "/execute"),
        ("rate_exceeded", "reports", "/execute"),
    ]
    assert refused[0]["peer"] == "127.0.0.1"
    assert until_told(server, "execution accepted")[0]["client"] == "reports"
    assert "the-good-key" not in "".join(server.printed)
    assert "the-bad-key" not in "".join(server.printed)


def test_projects_are_told_up_down_and_failed(serve: Serve) -> None:
    server, url = json_server(
        serve, "projects: {good: {backend: scripted}, bad: {backend: {type: scripted, unavailable: No.}}}\n"
    )
    [failed] = until_told(server, "project failed")
    assert (failed["project"], failed["level"], failed["detail"]) == ("bad", "error", "No. Mend it.")
    [up] = until_told(server, "project up")
    assert (up["project"], up["replicas"], up["backend"]) == ("good", 1, "scripted")
    httpx.post(f"{url}/projects/good/down", headers={"X-Request-ID": "who-did-it"})
    [down] = until_told(server, "project down")
    assert (down["project"], down["request_id"]) == ("good", "who-did-it")
