"""Commands that talk to a server: their output on stdout and stderr, and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from airlock.api import app as api
from airlock.cli import app
from airlock.client import Airlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

LISTS = pytest.mark.skipif("/executions" not in api.openapi()["paths"], reason="the server lists nothing")
PATIENCE = 60  # seconds; only a guard against hanging


@pytest.fixture(scope="module")
def url(serve_all: Serve) -> str:
    return serve_all("projects: {p: {backend: scripted, replicas: 2}}\n").url


@pytest.fixture
def client(url: str) -> Iterator[Airlock]:
    with Airlock(url) as client:
        yield client


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRLOCK_URL", url)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def asking(client: Airlock) -> str:
    """Start an execution that has written output and awaits an answer."""
    execution_id = client.submit("say out\nerr problem\nask q\nsay more", project="p")
    client.get(execution_id, wait=30)
    return execution_id


# --- exec and run --url ----------------------------------------------------------------------------------------------


def test_exec_prints_the_result_on_stdout_and_the_output_on_stderr() -> None:
    result = command("exec", "-c", 'say hello\nresult {"é": [1]}')
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"é": [1]})
    assert result.stderr.startswith("hello\ncompleted in ")


def test_exec_of_a_script_that_fails_is_1() -> None:
    result = command("exec", "-c", "say before\nfail it broke")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "before\nerror: script_error: it broke\n"


def test_exec_of_a_script_that_takes_too_long_is_1() -> None:
    assert command("exec", "-c", "sleep 60", "--timeout", "1").exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["script", "-c", "say hi"]])
def test_exec_needs_a_file_or_code(arguments: list[str]) -> None:
    result = command("exec", *arguments)
    assert (result.exit_code, result.stderr) == (2, "error: give a FILE, or the script with -c\n")


def test_run_with_url_runs_it_there_with_settings_and_memory(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRLOCK_URL")
    Path("script").write_text("setting s\nrecall a.b\nremember a.b 2")
    Path("memory").write_text('{"a.b": 1, "c.d": 3}')
    result = command("run", "script", "--url", url, "--setting", "s=v", "--memory", "memory")
    assert result.exit_code == 0
    assert result.stderr.startswith("v\n1\n")
    assert json.loads(Path("memory").read_text()) == {"a.b": 2, "c.d": 3}


def test_run_with_url_and_config_is_2(url: str) -> None:
    Path("script").write_text("say hi")
    assert command("run", "script", "--url", url, "--config", "x").exit_code == 2


def test_run_with_a_key_and_without_url_is_2_and_runs_nothing() -> None:
    Path("script").write_text("say hi")
    result = command("run", "script", "--key", "k")
    assert (result.exit_code, result.stderr) == (2, "error: --key: name its server with --url\n")


def test_llm_echo_answers() -> None:
    result = command("exec", "-c", "ask one\nask two", "--llm", "echo")
    assert (result.exit_code, result.stdout) == (0, '"two"\n')
    assert "awaiting_llm (model default):\none\n" in result.stderr


def test_a_command_that_cannot_answer_ends_it_and_cancels_the_execution(client: Airlock) -> None:
    result = command("exec", "-c", "ask one", "--llm", "false")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: the LLM command false failed (exit code 1)" in result.stderr
    assert client.projects()[0].paused == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_execution_and_is_128_and_its_number(client: Airlock, number: signal.Signals) -> None:
    code = "from airlock.cli import main; main()"
    arguments = [sys.executable, "-c", code, "exec", "-c", "say begun\nsleep 600"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "begun\n"
    os.kill(process.pid, number)
    _, printed = process.communicate(timeout=PATIENCE)
    assert (process.returncode, printed) == (128 + number, "error: interrupted\n")
    assert client.projects()[0].running == 0


def test_of_several_projects_one_must_be_named(serve: Serve) -> None:
    several = serve("projects: {b: {backend: mock}, a: {backend: mock}}\n").url
    result = command("exec", "-c", "hi", "--url", several)
    assert (result.exit_code, result.stderr) == (2, "error: choose with --project: a, b\n")


# --- ps, logs, cancel, up, down --------------------------------------------------------------------------------------


@LISTS
def test_ps_lists_the_newest_first(client: Airlock) -> None:
    older, newer = (client.submit("say hi", project="p") for _ in range(2))
    client.get(newer, wait=30)
    lines = command("ps").stdout.splitlines()
    assert lines[0].split() == ["ID", "PROJECT", "CREATED", "STATUS", "EXIT", "CAUSE"]
    assert [line.split()[0] for line in lines[1:3]] == [newer, older]
    assert "completed" in lines[1]


@LISTS
def test_ps_as_json_filters_and_stops_at_the_limit(client: Airlock) -> None:
    waiting = asking(client)
    [row] = json.loads(command("ps", "--json", "--status", "awaiting_llm", "--project", "p", "--limit", "1").stdout)
    assert (row["execution_id"], row["status"], row["project"]) == (waiting, "awaiting_llm", "p")
    client.cancel(waiting)


def test_logs_print_what_was_written_so_far_each_stream_to_its_own(client: Airlock) -> None:
    execution_id = asking(client)
    result = command("logs", execution_id)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out\n", "problem\n")
    client.cancel(execution_id)


def test_logs_f_goes_on_until_it_is_over_and_has_its_exit_code(client: Airlock) -> None:
    execution_id = asking(client)
    code = "from airlock.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "logs", "-f", execution_id], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"out\n"
    client.respond(execution_id, "x", request_id=1)
    assert (process.stdout.read(), process.wait(PATIENCE)) == (b"more\n", 0)
    process.stdout.close()


def test_logs_f_of_a_failed_execution_is_1(client: Airlock) -> None:
    result = command("logs", "-f", client.submit("say a\nfail it broke", project="p"))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "a\n", "error: script_error: it broke\n")


def test_logs_as_json_is_the_execution(client: Airlock) -> None:
    execution_id = client.submit("say hi", project="p")
    assert json.loads(command("logs", "-f", "--json", execution_id).stdout)["stdout"] == "hi\n"


def test_cancel_ends_several(client: Airlock) -> None:
    ids = [asking(client), asking(client)]
    result = command("cancel", *ids)
    assert (result.exit_code, result.stdout) == (0, "".join(f"{each} error cancelled\n" for each in ids))


def test_up_and_down_print_the_pool(serve: Serve) -> None:
    own = serve("projects: {p: {backend: scripted, replicas: 0}}\n").url
    assert command("up", "p", "-n", "2", "--url", own).stdout == "p up replicas 2\n"
    assert json.loads(command("down", "p", "--json", "--url", own).stdout)["status"] == "down"


# --- what goes wrong is one line with the remedy ---------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["logs", "nobody"], ["cancel", "nobody"], ["up", "nobody"], ["logs", ".."]])
def test_what_is_not_there_is_2(arguments: list[str]) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_no_server_is_2_after_ten_seconds_at_most_and_names_the_url() -> None:
    began = time.monotonic()
    result = command("down", "p", "--url", "http://127.0.0.1:1")
    assert time.monotonic() - began < 12
    assert result.exit_code == 2
    assert result.stderr.startswith("error: http://127.0.0.1:1 cannot be reached (")


def test_no_key_is_2_with_the_remedy_and_a_key_from_a_file_opens(serve: Serve) -> None:
    keyed = serve("projects: {p: {backend: mock}}\n", AIRLOCK_API_KEY="correct horse battery").url
    refused = command("exec", "-c", "hi", "--url", keyed)
    assert refused.exit_code == 2
    assert "$AIRLOCK_API_KEY or --key @FILE" in refused.stderr
    Path("key").write_text("correct horse battery\n")
    assert command("exec", "-c", "hi", "--url", keyed, "--key", "@key").exit_code == 0


@pytest.mark.parametrize("url", ["nonsense", "http://"])
def test_a_url_that_is_none_is_2(url: str) -> None:
    for arguments in (["down", "p"], ["exec", "-c", "hi"]):
        result = command(*arguments, "--url", url)
        assert (result.exit_code, result.stderr.startswith("error: ")) == (2, True)
