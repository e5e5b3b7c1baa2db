"""`airlock run`: its output on stdout and stderr, its exit codes, and who answers LLM requests."""

import gc
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from airlock import Backend, BackendSettings, Job, Limits, Outcome, Pool, Run, hookimpl
from airlock.cli import app
from airlock.cli.run import choose_project
from airlock.config import load_config
from airlock.plugins.manager import Plugins

SCRIPTED = Path(__file__).parents[1] / "scripted"
PATIENCE = 60  # seconds; only a guard against hanging


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRLOCK_CONFIG")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPTED)
    Path("airlock.yaml").write_text("default_backend: mock\nprojects: {p: {backend: scripted}, m: {backend: mock}}\n")


def run(script: str, *arguments: str) -> Result:
    Path("script").write_text(script)
    return CliRunner().invoke(app, ["run", "script", *arguments])


def test_the_result_is_json_on_stdout_and_output_is_on_stderr() -> None:
    result = run('say to stdout\nerr to stderr\nresult {"a": ["é", 1.5, null]}')
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"a": ["é", 1.5, None]}
    assert result.stderr.startswith("to stdout\nto stderr\ncompleted in ")


def test_without_a_result_stdout_is_null() -> None:
    assert run("say hi").stdout == "null\n"


def test_a_failing_script_is_1_and_leaves_stdout_empty() -> None:
    result = run("say before\nresult 1\nfail it broke")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "before\nerror: script_error: it broke\n"


def test_a_timeout_is_1() -> None:
    result = run("sleep 600", "--timeout", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: timeout: " in result.stderr


def test_output_over_the_limit_is_said_to_be_dropped() -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: scripted, limits: {output: 4B}}}\n")
    result = run("say 123456")
    assert result.exit_code == 0
    assert "1234\n[3 bytes dropped here: limits.output is 4B]\nwarning: the script's output exceeded" in result.stderr


@pytest.mark.parametrize("timeout", ["0", "-1", "1000000000"])
def test_a_timeout_out_of_bounds_is_2_and_names_it(timeout: str) -> None:
    result = run("say hi", "--timeout", timeout)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "timeout" in result.stderr


def test_a_timeout_over_the_projects_limit_is_2_with_the_maximum() -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: scripted, limits: {timeout: 30}}}\n")
    result = run("say hi", "--timeout", "31")
    assert result.exit_code == 2
    assert "30 seconds" in result.stderr


def test_a_file_that_is_not_there_is_2() -> None:
    result = CliRunner().invoke(app, ["run", "nope"])
    assert (result.exit_code, result.stderr) == (2, "error: nope: No such file or directory\n")


def test_a_script_that_is_not_utf_8_is_2() -> None:
    Path("script").write_bytes(b"say \xff")
    result = CliRunner().invoke(app, ["run", "script"])
    assert (result.exit_code, result.stderr) == (2, "error: script: not UTF-8 (byte 4)\n")


def test_a_dash_reads_the_script_from_stdin() -> None:
    result = CliRunner().invoke(app, ["run", "-"], input="result 7")
    assert (result.exit_code, result.stdout) == (0, "7\n")


# --- which project ---------------------------------------------------------------------------------------------------


def test_of_several_projects_that_run_code_one_must_be_named() -> None:
    Path("airlock.yaml").write_text("projects: {b: {backend: scripted}, a: {backend: scripted}}\n")
    refused = run("say hi")
    assert (refused.exit_code, refused.stderr) == (2, "error: several projects run code; choose with --project: a, b\n")
    assert run("say hi", "--project", "a").exit_code == 0


def test_a_mistyped_project_is_2_and_is_not_served_by_the_default_backend() -> None:
    result = run("say hi", "--project", "pp")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: --project pp: no such project; known projects: m, p\n"


def test_mock_is_used_only_by_name() -> None:
    Path("airlock.yaml").write_text("default_backend: mock\nprojects: {m: {backend: mock}}\n")
    refused = run("print(1)")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "pip install 'airlock-core[local]'" in refused.stderr
    assert json.loads(run("print(1)", "--project", "m").stdout) == {"echo": "print(1)"}


def test_a_project_with_no_replicas_runs_all_the_same() -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: scripted, replicas: 0}}\n")
    assert run("result 1").stdout == "1\n"


def test_only_the_chosen_project_is_started() -> None:
    Path("airlock.yaml").write_text(
        "projects: {p: {backend: scripted}, broken: {backend: {type: scripted, unavailable: no}}}\n"
    )
    result = run("result 1", "--project", "p")
    assert (result.exit_code, "broken" in result.stderr) == (0, False)


def test_a_project_that_cannot_come_up_is_2_with_cause_and_remedy() -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: {type: scripted, unavailable: No user namespaces.}}}\n")
    result = run("say hi")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: project p is down: No user namespaces. Mend it.\n"


def test_config_errors_are_2_and_all_named() -> None:
    Path("airlock.yaml").write_text("a: 1\nb: 2\n")
    result = run("say hi")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 2)


class Local(Backend[BackendSettings]):
    """Stands in for airlock-local."""

    type = "local"

    async def scale(self, replicas: int) -> None: ...

    def pool(self) -> Pool:
        return Pool(replicas=1, idle=1)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome()


class OffersLocal:
    @hookimpl
    def airlock_register_backends(self) -> list[type[Backend[Any]]]:
        return [Local]


def test_without_a_file_it_is_local_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    plugins = Plugins()
    plugins.register(OffersLocal())
    chosen = choose_project(load_config(None, plugins, {}), plugins, None)
    assert (chosen.project.name, chosen.backend, chosen.project.limits) == ("local", Local, Limits())
    said = capsys.readouterr().err
    assert f"no airlock.yaml in {Path.cwd()}: running in 'local'" in said
    assert "echo" not in said


def test_without_a_file_and_without_local_it_is_2_and_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    plugins = Plugins()
    with pytest.raises(typer.Exit) as ended:
        choose_project(load_config(None, plugins, {}), plugins, None)
    assert ended.value.exit_code == 2
    assert "pip install 'airlock-core[local]'" in capsys.readouterr().err


# --- settings and memory ---------------------------------------------------------------------------------------------


def test_settings_come_as_text_or_from_a_file() -> None:
    Path("data.csv").write_text("x,y\n1,2\n")
    options = ["--setting", "a=1=2", "--setting", "f=@data.csv", "--setting", "at=@@home", "--setting", "none="]
    result = run("setting a\nsetting f\nsetting at\nsetting none", *options)
    assert result.stderr.startswith("1=2\nx,y\n1,2\n\n@home\n\ncompleted")


@pytest.mark.parametrize("setting", ["novalue", "=x", "f=@nope.csv"])
def test_a_useless_setting_is_2(setting: str) -> None:
    result = run("say hi", "--setting", setting)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


def test_memory_is_made_read_and_updated() -> None:
    assert run('remember job.count 1\nremember job.who {"n": "é"}', "--memory", "m.json").exit_code == 0
    assert json.loads(Path("m.json").read_text()) == {"job.count": 1, "job.who": {"n": "é"}}
    second = run("recall job.count\nremember job.count 2", "--memory", "m.json")
    assert second.stderr.startswith("1\n")
    assert json.loads(Path("m.json").read_text()) == {"job.count": 2, "job.who": {"n": "é"}}


def test_memory_of_a_failed_run_is_not_kept() -> None:
    Path("m.json").write_text('{"a.b": 1}')
    assert run("remember a.b 2\nfail now", "--memory", "m.json").exit_code == 1
    assert Path("m.json").read_text() == '{"a.b": 1}'


def test_a_run_that_remembers_nothing_leaves_no_file() -> None:
    assert run("say hi", "--memory", "m.json").exit_code == 0
    assert sorted(os.listdir()) == ["airlock.yaml", "script"]


def test_memory_keeps_its_mode_and_its_link() -> None:
    Path("real.json").write_text("{}")
    Path("real.json").chmod(0o640)
    Path("m.json").symlink_to("real.json")
    assert run("remember a.b 1", "--memory", "m.json").exit_code == 0
    assert Path("m.json").is_symlink()
    assert json.loads(Path("real.json").read_text()) == {"a.b": 1}
    assert stat.S_IMODE(Path("real.json").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"1", b'{"a.b": NaN}', b'{"a.b": 1, "a.b": 2}', b'{"nodot": 1}', b"\xff"]
)
def test_memory_that_cannot_be_used_is_2_and_left_alone(content: bytes) -> None:
    Path("m.json").write_bytes(content)
    result = run("remember a.b 1", "--memory", "m.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert Path("m.json").read_bytes() == content


def test_memory_in_a_folder_that_is_not_there_is_2_before_anything_runs() -> None:
    result = run("say hi", "--memory", "no/m.json")
    assert (result.exit_code, result.stderr) == (2, "error: --memory no/m.json: no such folder: no\n")


# --- LLM requests ----------------------------------------------------------------------------------------------------


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


# --- real processes --------------------------------------------------------------------------------------------------


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


Processes = list[subprocess.Popen[bytes]]


def start(processes: Processes, script: str, *options: str, stdin: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    Path("script").write_text(script)
    command = [sys.executable, "-c", "from airlock.cli import main; main()", "run", "script", *options]
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTED)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, env=environ, bufsize=0)
    processes.append(process)
    return process


def stderr_until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    assert process.stderr is not None
    seen = b""
    while text not in seen:
        piece = os.read(process.stderr.fileno(), 65536)
        assert piece, seen
        seen += piece
    return seen


def test_output_is_shown_while_the_script_runs(processes: Processes) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    assert process.poll() is None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_the_run_and_leaves_nothing_behind(
    processes: Processes, number: signal.Signals, code: int
) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (code, b"", b"error: interrupted\n")
    assert not Path(f"/proc/{child}").exists()


def test_impatient_ctrl_c_leaves_nothing_behind_either(processes: Processes) -> None:
    process = start(processes, "say now\nsleep 600")
    stderr_until(process, b"now\n")
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    assert process.returncode in (130, -signal.SIGINT)  # the last one may come when all is done
    assert not Path(f"/proc/{child}").exists()


def test_ctrl_c_while_the_project_starts_leaves_nothing_behind(processes: Processes) -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: {type: scripted, start: 600}}}\n")
    process = start(processes, "say now")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    give_up = time.monotonic() + PATIENCE
    while not children.read_text() and time.monotonic() < give_up:
        time.sleep(0.01)
    [child] = children.read_text().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not Path(f"/proc/{child}").exists()


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
