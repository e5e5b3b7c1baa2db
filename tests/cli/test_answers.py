"""Who answers the LLM requests of `airlock run`: an echo, a command, or a person."""

import gc
import json
import os
import pty
import signal
import time
from pathlib import Path

import pytest
from tests.cli.conftest import PATIENCE, Processes, run, start, stderr_until
from typer.testing import CliRunner

from airlock.cli import app

pytestmark = pytest.mark.usefixtures("scripted_folder")


def test_echo_answers_with_the_prompt() -> None:
    assert json.loads(run("ask how are you?", "--llm", "echo").stdout) == "how are you?"


def test_a_command_gets_the_prompt_on_stdin_and_its_stdout_is_the_answer() -> None:
    assert json.loads(run("ask größe", "--llm", "tr a-z A-Z").stdout) == "GRößE"


def test_a_command_is_no_shell() -> None:
    result = run("ask x", "--llm", "echo $HOME; touch owned")
    assert json.loads(result.stdout) == "$HOME; touch owned"
    assert not Path("owned").exists()


def test_a_command_that_does_not_read_its_stdin_answers_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    result = run("ask " + "x" * 200_000, "--llm", "sh -c 'sleep 0.1; echo yes'")
    assert json.loads(result.stdout) == "yes"
    gc.collect()  # what nobody heard of is logged when it is collected
    assert capfd.readouterr().err == ""


def test_a_failing_command_ends_the_run_with_1() -> None:
    result = run("ask x", "--llm", "false")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "awaiting_llm (model default):\nx\nerror: the LLM command false failed (exit code 1)\n"


@pytest.mark.parametrize("llm", ["", "no-such-command-anywhere", "'unbalanced"])
def test_a_command_that_cannot_be_started_is_2_before_anything_runs(llm: str) -> None:
    result = run("say ran", "--llm", llm)
    assert result.exit_code == 2
    assert "--llm" in result.stderr
    assert "ran" not in result.stderr


def test_a_command_that_outlasts_the_execution_is_killed() -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: scripted, limits: {llm_timeout: 0.3}}}\n")
    began = time.monotonic()
    result = run("ask x", "--llm", "sleep 600")
    assert result.exit_code == 1
    assert "llm_timeout" in result.stderr
    assert time.monotonic() - began < PATIENCE


def test_without_a_terminal_an_llm_request_is_2_and_names_the_option() -> None:
    result = run("say first\nask x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("first\nerror: the script asks an LLM")
    assert "--llm" in result.stderr


def test_answers_cannot_come_from_stdin_when_the_script_does() -> None:
    result = CliRunner().invoke(app, ["run", "-", "--llm", "ask"], input="ask x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--llm ask" in result.stderr


# --- a person, asked in a process of its own -------------------------------------------------------------------------


def test_ask_reads_a_line_of_stdin_for_each_request(processes: Processes) -> None:
    process = start(processes, "ask first?\nask second?", "--llm", "ask")
    stdout, stderr = process.communicate(b"one\ntwo\n", timeout=PATIENCE)
    assert (process.returncode, stdout) == (0, b'"two"\n')
    assert b"first?\nanswer> " in stderr


def test_ask_takes_answers_from_a_file(processes: Processes) -> None:
    Path("answers").write_text("from a file\n")
    with open("answers", "rb") as answers:
        process = start(processes, "ask what?", "--llm", "ask", stdin=answers.fileno())
    stdout, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (0, b'"from a file"\n')


def test_ask_without_an_answer_is_1(processes: Processes) -> None:
    process = start(processes, "ask what?", "--llm", "ask")
    stdout, stderr = process.communicate(b"", timeout=PATIENCE)
    assert (process.returncode, stdout) == (1, b"")
    assert b"stdin ended" in stderr


def test_at_a_terminal_the_person_is_asked_and_may_take_time(processes: Processes) -> None:
    master, terminal = pty.openpty()
    process = start(processes, "ask who?", stdin=terminal)
    stderr_until(process, b"answer> ")
    os.write(master, b"me\n")
    stdout, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout) == (0, b'"me"\n')
    os.close(master)
    os.close(terminal)


def test_ctrl_c_at_the_question_ends_the_run(processes: Processes) -> None:
    process = start(processes, "ask who?", "--llm", "ask")
    stderr_until(process, b"answer> ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130


def test_a_question_that_is_not_answered_in_time_ends_the_run(processes: Processes) -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: scripted, limits: {llm_timeout: 0.5}}}\n")
    process = start(processes, "ask who?", "--llm", "ask")
    assert process.stdin is not None  # stays open: nobody answers
    stderr_until(process, b"llm_timeout")
    assert process.wait(PATIENCE) == 1
