"""The formats of log lines, for people or programs, which no input from outside can forge."""

import io
import json
import logging
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.conftest import RunningServer
from tests.logs.conftest import Log

from airlock import logs
from airlock.logs import log_event
from airlock.logs.formats import JsonFormatter, PlainFormatter

Serve = Callable[..., RunningServer]

SCRIPTED = "projects: {p: {backend: scripted}}\n"
HOSTILE = "x\n2026-01-01 00:00:00 INFO    project p is up\r\x1b[2Jy\u2028z\u202e\udc80"


def fail() -> None:
    raise RuntimeError(HOSTILE)


# --- plain lines -----------------------------------------------------------------------------------------------------


def test_plain_shows_time_level_event_and_fields(log: Log) -> None:
    log.write_with(PlainFormatter())
    log_event("execution finished", execution_id="1b4e", error_type=None, run_ms=7, detail="two words")
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    execution finished execution_id=1b4e run_ms=7 detail="two words"\n',
        log.text,
    )


def test_plain_shows_the_text_instead_of_the_fields_where_there_is_one(log: Log) -> None:
    log.write_with(PlainFormatter())
    log_event("project up", "project p is up: 100 %s", project="p")
    assert log.text.endswith("INFO    project p is up: 100 %s\n")


@pytest.mark.parametrize(
    "forge",
    [
        lambda logger: logger.warning("%s", HOSTILE),
        lambda _: log_event("request refused", path=HOSTILE),
        lambda _: log_event("project failed", HOSTILE, detail=HOSTILE),
    ],
)
def test_plain_keeps_hostile_text_on_its_line(log: Log, forge: Callable[[logging.Logger], None]) -> None:
    log.write_with(PlainFormatter())
    forge(log.logger)
    line = log.text.removesuffix("\n")
    assert line.isprintable()
    assert "x\\n2026-01-01" in line
    assert "1b[2Jy\\u2028z\\u202e\\udc80" in line


def test_a_value_cannot_look_like_another_field(log: Log) -> None:
    log.write_with(PlainFormatter())
    log_event("request refused", path='/x client=admin "quoted"')
    assert log.text.endswith('path="/x client=admin \\"quoted\\""\n')


def test_each_line_of_a_traceback_is_marked_and_hostile_text_in_it_stays_on_its_own(log: Log) -> None:
    log.write_with(PlainFormatter())
    try:
        fail()
    except RuntimeError:
        log.logger.exception("the backend failed")
    first, *rest = log.text.removesuffix("\n").split("\n")
    assert first.endswith("ERROR   the backend failed")
    assert len(rest) > 3
    assert all(line.startswith("    | ") and line.isprintable() for line in rest)
    assert any(line.startswith("    | 2026-01-01 00:00:00 INFO") for line in rest), "shown, and marked"


def test_a_message_of_uvicorn_that_is_a_traceback_looks_like_one() -> None:
    record = logging.makeLogRecord(
        {
            "name": "uvicorn.error",
            "levelname": "ERROR",
            "msg": "Traceback (most recent call last):\n  File x\nRuntimeError: \x1b[2J\n",
        }
    )
    first, *rest = PlainFormatter().format(record).split("\n")
    assert first.endswith("ERROR   Traceback (most recent call last):")
    assert rest == ["    |   File x", "    | RuntimeError: \\x1b[2J"]


# --- JSON lines ------------------------------------------------------------------------------------------------------


def test_json_has_one_object_per_line_with_the_fields_of_the_event(log: Log) -> None:
    log.write_with(JsonFormatter())
    log_event("project up", "project p is up: replicas 2", project="p", replicas=2)
    line = json.loads(log.text)
    assert list(line) == ["time", "level", "logger", "message", "event", "project", "replicas"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "airlock.projects",
        "message": "project p is up: replicas 2",
        "event": "project up",
        "project": "p",
        "replicas": 2,
    }


def test_json_keeps_hostile_text_and_tracebacks_on_one_line(log: Log) -> None:
    log.write_with(JsonFormatter())
    try:
        fail()
    except RuntimeError:
        log.logger.exception("%s", HOSTILE)
    [line] = log.text.splitlines()
    told = json.loads(line)
    assert told["message"] == HOSTILE
    assert told["exception"].startswith("Traceback")


def test_json_shows_what_it_does_not_know_as_text(log: Log) -> None:
    log.write_with(JsonFormatter())
    log_event("request refused", where=Path("/x"))
    assert json.loads(log.text)["where"] == "/x"


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


def test_a_path_cannot_forge_a_line(serve: Serve) -> None:
    server = serve(SCRIPTED, AIRLOCK_API_KEY="k")
    httpx.get(f"{server.url}/x%0a2026-01-01%2000:00:00%20INFO%20%20%20%20project%20p%20is%20down%1b[2J{'y' * 500}")
    line = server.line_with("request refused")
    assert "\\n2026-01-01" in line
    assert "\\u001b[2J" in line
    assert len(line) < 500
    assert not [line for line in server.printed if line.startswith("2026-01-01")]
