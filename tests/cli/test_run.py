"""`airlock run`: its output on stdout and stderr, its exit codes, and which project it chooses."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.conftest import run

from airlock import Backend, BackendSettings, Job, Limits, Outcome, Pool, Run, hookimpl
from airlock.cli.run import choose_project
from airlock.config import load_config
from airlock.plugins.manager import Plugins

pytestmark = pytest.mark.usefixtures("scripted_folder")


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
