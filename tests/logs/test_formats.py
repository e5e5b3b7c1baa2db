"""The log: one line per event, for people or for programs, that nobody outside can forge; and the ids of requests."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pty
import re
import signal
import subprocess
import sys
import time
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi.testclient import TestClient

from airlock import Backend, BackendSettings, Job, LLMRequest, Outcome, Pool, Run, hookimpl
from airlock.api import app, create_app
from airlock.config import load_config
from airlock.gateway import keys
from airlock.logs import formats as logs
from airlock.logs.telling import REQUEST_ID, tell
from airlock.plugins.manager import Plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

SCRIPTED = "projects: {p: {backend: scripted}}\n"
HOSTILE = "x\n2026-01-01 00:00:00 INFO    project p is up\r\x1b[2Jy\u2028z\u202e\udc80"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger whose lines go nowhere else, and whose context is that of no request."""
    logger = logging.getLogger("airlock.tests.logs")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    before = REQUEST_ID.set(None)
    yield logger
    REQUEST_ID.reset(before)
    logger.handlers.clear()


def fail() -> None:
    raise RuntimeError(HOSTILE)


def written(logger: logging.Logger, formatter: logging.Formatter) -> io.StringIO:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.handlers[:] = [handler]
    return stream


# --- plain lines -----------------------------------------------------------------------------------------------------


def test_plain_shows_time_level_event_and_fields(logger: logging.Logger) -> None:
    stream = written(logger, logs.PlainFormatter())
    tell(logger, "execution finished", execution_id="1b4e", error_type=None, run_ms=7, detail="two words")
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    execution finished execution_id=1b4e run_ms=7 detail="two words"\n',
        stream.getvalue(),
    )


def test_plain_shows_the_text_instead_of_the_fields_where_there_is_one(logger: logging.Logger) -> None:
    stream = written(logger, logs.PlainFormatter())
    tell(logger, "project up", "project p is up: 100 %s", project="p")
    assert stream.getvalue().endswith("INFO    project p is up: 100 %s\n")


def test_an_event_below_the_level_is_not_told(logger: logging.Logger) -> None:
    logger.setLevel(logging.WARNING)
    stream = written(logger, logs.PlainFormatter())
    tell(logger, "execution accepted")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "forge",
    [
        lambda log: log.warning("%s", HOSTILE),
        lambda log: tell(log, "request refused", path=HOSTILE),
        lambda log: tell(log, "project failed", HOSTILE, detail=HOSTILE),
    ],
)
def test_plain_keeps_hostile_text_on_its_line(logger: logging.Logger, forge: Callable[[logging.Logger], None]) -> None:
    stream = written(logger, logs.PlainFormatter())
    forge(logger)
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert "x\\n2026-01-01" in line
    assert "1b[2Jy\\u2028z\\u202e\\udc80" in line


def test_a_value_cannot_look_like_another_field(logger: logging.Logger) -> None:
    stream = written(logger, logs.PlainFormatter())
    tell(logger, "request refused", path='/x client=admin "quoted"')
    assert stream.getvalue().endswith('path="/x client=admin \\"quoted\\""\n')


def test_each_line_of_a_traceback_is_marked_and_hostile_text_in_it_stays_on_its_own(logger: logging.Logger) -> None:
    stream = written(logger, logs.PlainFormatter())
    try:
        fail()
    except RuntimeError:
        logger.exception("the backend failed")
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("ERROR   the backend failed")
    assert len(rest) > 3
    assert all(line.startswith("    | ") and line.isprintable() for line in rest)
    assert any(line.startswith("    | 2026-01-01 00:00:00 INFO") for line in rest), "shown, and marked"


def test_a_message_of_uvicorn_that_is_a_traceback_looks_like_one() -> None:
    stream = written(logger := logging.getLogger("uvicorn.error"), logs.PlainFormatter())
    try:
        logger.error("Traceback (most recent call last):\n  File x\nRuntimeError: \x1b[2J\n")
    finally:
        logger.handlers.clear()
    first, *rest = stream.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("ERROR   Traceback (most recent call last):")
    assert rest == ["    |   File x", "    | RuntimeError: \\x1b[2J"]


# --- JSON lines ------------------------------------------------------------------------------------------------------


def test_json_has_one_object_per_line_with_the_fields_of_the_event(logger: logging.Logger) -> None:
    stream = written(logger, logs.JsonFormatter())
    tell(logger, "project up", "project p is up: replicas 2", project="p", replicas=2)
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "airlock.tests.logs",
        "message": "project p is up: replicas 2",
        "event": "project up",
        "project": "p",
        "replicas": 2,
    }


def test_json_keeps_hostile_text_and_tracebacks_on_one_line(logger: logging.Logger) -> None:
    stream = written(logger, logs.JsonFormatter())
    try:
        fail()
    except RuntimeError:
        logger.exception("%s", HOSTILE)
    [line] = stream.getvalue().splitlines()
    told = json.loads(line)
    assert told["message"] == HOSTILE
    assert told["exception"].startswith("Traceback")


def test_json_shows_what_it_does_not_know_as_text(logger: logging.Logger) -> None:
    stream = written(logger, logs.JsonFormatter())
    tell(logger, "event", where=Path("/x"))
    assert json.loads(stream.getvalue())["where"] == "/x"


# --- which of them ---------------------------------------------------------------------------------------------------


def test_auto_is_json_in_a_pipe_and_plain_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert logs.is_json("auto")
    main, terminal = pty.openpty()
    with open(main, "rb", 0), open(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert not logs.is_json("auto")


def test_in_a_pipe_a_server_writes_json_only(serve: Serve) -> None:
    server = serve(f"{SCRIPTED}default_backend: mock\n", "--log-format", "auto")
    message = json.loads(server.line_with("Listening on"))["message"]
    server.line_with("project p is up")
    httpx.get(f"{message.split()[-1]}/health")
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    lines = [json.loads(line) for line in server.printed]
    assert [line["level"] for line in lines if "default_backend" in line["message"]] == ["warning"]
    assert [line["message"] for line in lines][-1] == "stopped"


def test_airlock_yaml_says_how_lines_look(tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").write_text("server: {log: {format: plain}}\nprojects: {p: {backend: mock}}\n")
    command = [sys.executable, "-m", "airlock", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={}) as process:
        assert process.stderr is not None
        try:
            assert "INFO    project p is up" in process.stderr.readline()
        finally:
            process.terminate()
            process.stderr.read()


def test_the_option_wins_over_airlock_yaml(serve: Serve) -> None:
    server = serve("server: {log: {format: json}}\nprojects: {p: {backend: mock}}\n", "--log-format", "plain")
    assert server.line_with("Airlock serves").startswith("Airlock serves")


def test_below_the_level_of_airlock_yaml_nothing_is_logged(serve: Serve) -> None:
    server = serve("server: {log: {level: error}}\nprojects: {p: {backend: mock}}\n")
    httpx.post(f"{server.url}/execute", json={"project": "p", "code": "x"}, params={"wait": 5})
    assert not [line for line in server.printed if "execution" in line and "INFO" in line]


def test_a_level_that_does_not_exist_is_named_with_its_place(serve: Serve) -> None:
    server = serve("server: {log: {level: loud}}\n")
    assert server.ended() == 1
    assert "airlock.yaml:1:16: server.log.level: must be 'debug'" in server.printed[0]


# --- events of a real server -----------------------------------------------------------------------------------------


def events(server: RunningServer) -> list[dict[str, Any]]:
    """The events that a server has told so far, in the JSON format."""
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
    assert {line["execution_id"] for line in told} == {execution_id}
    assert {line["request_id"] for line in told} == {"from-the-proxy"}
    assert told[0]["project"] == "p"
    assert told[1]["queued_ms"] >= 0
    assert (told[2]["llm_request"], told[3]["llm_request"], told[3]["answer"]) == (1, 1, "text")
    assert (told[4]["status"], told[4]["error_type"]) == ("error", "script_error")
    assert told[4]["run_ms"] >= 0
    log = "".join(server.printed)
    assert [text in log for text in ("secret-of-the-script", "why", "private answer")] == [False, False, False]


class StaleBackend(Backend[BackendSettings]):
    """Asks from a callback that was set up in the course of another request, as replacements of workers are."""

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


def test_a_path_cannot_forge_a_line(serve: Serve) -> None:
    server = serve(SCRIPTED, AIRLOCK_API_KEY="k")
    httpx.get(f"{server.url}/x%0a2026-01-01%2000:00:00%20INFO%20%20%20%20project%20p%20is%20down%1b[2J{'y' * 500}")
    line = server.line_with("request refused")
    assert "\\n2026-01-01" in line
    assert "\\u001b[2J" in line
    assert len(line) < 500
    assert not [line for line in server.printed if line.startswith("2026-01-01")]


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


# --- ids of requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/nowhere", "/docs", "/executions/x"])
def test_every_response_carries_an_id_of_its_own(path: str) -> None:
    client = TestClient(app)
    first, second = (client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_a_problem_shows_the_id_of_its_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_API_KEY", "k")
    client = TestClient(create_app())
    for path in ("/projects", "/nowhere"):
        response = client.get(path)
        assert response.json()["request_id"] == response.headers["x-request-id"]


def test_an_id_that_a_proxy_sent_is_kept() -> None:
    assert TestClient(app).get("/health", headers={"X-Request-ID": "a.b_C-1"}).headers["x-request-id"] == "a.b_C-1"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "a\tb", "a=b", "\xe9"])
def test_an_id_that_could_be_misread_is_replaced(sent: str) -> None:
    response = TestClient(app).get("/health", headers={"X-Request-ID": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_a_fault_is_logged_under_the_id_that_the_client_was_told() -> None:
    faulty = create_app()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.PlainFormatter())
    logging.getLogger("airlock.http.problems").addHandler(handler)
    try:
        faulty.get("/fault")(lambda: 1 / 0)
        response = TestClient(faulty, raise_server_exceptions=False).get("/fault")
    finally:
        logging.getLogger("airlock.http.problems").removeHandler(handler)
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"]
    first = stream.getvalue().splitlines()[0]
    assert first.endswith(f"GET /fault failed request_id={response.headers['x-request-id']}")
    assert "    | ZeroDivisionError" in stream.getvalue()
