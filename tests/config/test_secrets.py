"""`secrets:` in airlock.yaml: their sources, how mistakes are reported, and that servers never show them."""

import json
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import SecretStr
from tests.conftest import RunningServer

from airlock import Backend, BackendSettings, Job, Outcome, Pool, Project, Run, hookimpl
from airlock.config import Config, load_config
from airlock.config.json_schema import json_schema
from airlock.errors import ConfigError
from airlock.logs import formats as logs
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source
from airlock.sandbox import install_packages

VALUE = "s3cr3t/valu€+1"
DIGITS = "9182736455"


class CodeBackend(Backend[BackendSettings]):
    type = "code"

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> Pool:
        return Pool(replicas=0, idle=0)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome()


@pytest.fixture
def plugins() -> Plugins:
    plugins = Plugins()
    hook = hookimpl(lambda: [CodeBackend])
    plugins.register(SimpleNamespace(airlock_register_backends=hook), Source("code", "airlock-code", "1.0"))
    return plugins


@pytest.fixture
def load(plugins: Plugins, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Load the secrets of a project in flow style."""

    def load(secrets: str, settings: str = "{}", **environ: str) -> dict[str, str]:
        text = f"projects:\n  p:\n    backend: code\n    settings: {settings}\n    secrets: {secrets}\n"
        (tmp_path / "airlock.yaml").write_text(text)
        loaded = load_config(tmp_path / "airlock.yaml", plugins, environ)
        assert VALUE not in repr(loaded)
        return {name: secret.get_secret_value() for name, secret in loaded.projects["p"].secrets.items()}

    return load


@pytest.fixture
def problem(load: Callable[..., dict[str, str]], tmp_path: Path) -> Callable[..., str]:
    """Return the only problem of these secrets, without the file's name."""

    def problem(secrets: str, settings: str = "{}", **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(secrets, settings, **environ)
        (told,) = caught.value.problems
        assert VALUE not in told
        return told.removeprefix(f"{tmp_path}/airlock.yaml:")

    return problem


# --- where they come from ------------------------------------------------------------------------------------------


def test_they_come_from_the_environment_and_from_files(load: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{VALUE}\r\n\n")
    (tmp_path / "spaces").write_text(f"  {VALUE}  \nand more\n")
    found = load(
        "{A: {env: NAME}, B: {file: key}, C: {file: '${WHERE}/spaces'}}", NAME=f"{VALUE}\n", WHERE=str(tmp_path)
    )
    assert found == {"A": f"{VALUE}\n", "B": VALUE, "C": f"  {VALUE}  \nand more"}


@pytest.mark.parametrize("secrets", ["", "{}", "null"])
def test_without_any_there_are_none(load: Callable[..., dict[str, str]], secrets: str) -> None:
    assert load(secrets) == {}


def test_directory_as_docker_makes_it(load: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("api_key", "db-password"):
        (tmp_path / "secrets" / name).write_text(f"{VALUE} {name}\n")
    assert load("secrets") == {name: f"{VALUE} {name}" for name in ("api_key", "db-password")}


def test_directory_as_kubernetes_makes_it(load: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    version = tmp_path / "secrets" / "..2026_11_25_22_00_00.1"
    version.mkdir(parents=True)
    (version / "API_KEY").write_text(VALUE)
    (tmp_path / "secrets" / "..data").symlink_to(version.name)
    (tmp_path / "secrets" / "API_KEY").symlink_to("..data/API_KEY")
    assert load(str(tmp_path / "secrets")) == {"API_KEY": VALUE}


# --- mistakes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secrets", "told"),
    [
        ("{A: {env: GONE}}", "5:15: projects.p.secrets.A: the environment variable is not set"),
        (f"{{A: {{env: '{VALUE}'}}}}", "5:15: projects.p.secrets.A: the environment variable is not set"),
        ("{A: {file: gone}}", "5:15: projects.p.secrets.A: the file cannot be read (No such file or directory)"),
        ("{A: {file: .}}", "5:15: projects.p.secrets.A: not a regular file"),
        ("{A: {file: /dev/zero}}", "5:15: projects.p.secrets.A: not a regular file"),
        ("{A: {file: large}}", "5:15: projects.p.secrets.A: longer than 16384 bytes"),
        ("{A: {file: latin}}", "5:15: projects.p.secrets.A: not UTF-8"),
        ("{A: {file: nul}}", "5:15: projects.p.secrets.A: contains NUL"),
        ("{A: {env: SHORT}}", "5:15: projects.p.secrets.A: shorter than 8 bytes"),
        ("{A: {env: BLANK}}", "5:15: projects.p.secrets.A: shorter than 8 bytes"),
        ("{A: {env: MARK}}", "5:15: projects.p.secrets.A: looks like [redacted]"),
        ("{A: {env: GOOD, file: nul}}", "5:15: projects.p.secrets.A: write {env: NAME} or {file: PATH}"),
        ("{A: {vault: x}}", "5:15: projects.p.secrets.A: write {env: NAME} or {file: PATH}"),
        (f"{{A: '{VALUE}'}}", "5:15: projects.p.secrets.A: write {env: NAME} or {file: PATH}"),
        ("{A: 12345678}", "5:15: projects.p.secrets.A: write {env: NAME} or {file: PATH}"),
        ("{A: }", "5:15: projects.p.secrets.A: write {env: NAME} or {file: PATH}"),
        ("{TAKEN: {env: GOOD}}", "5:15: projects.p.secrets.TAKEN: `settings` has this name too"),
        ("[A]", "5:5: projects.p.secrets: must be a mapping of names to {env: NAME}"),
        ("''", "5:5: projects.p.secrets: must be a mapping of names to {env: NAME}"),
        ("gone", "5:5: projects.p.secrets: the directory cannot be read (No such file or directory)"),
        ("latin", "5:5: projects.p.secrets: the directory cannot be read (Not a directory)"),
        ("hidden", "5:5: projects.p.secrets: the directory is empty"),
        ("folder", "5:5: projects.p.secrets.latin: not UTF-8"),
    ],
)
def test_mistakes_are_told_with_place_key_and_remedy(
    problem: Callable[..., str], tmp_path: Path, secrets: str, told: str
) -> None:
    for name in ("folder", "hidden/.data"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("latin", "folder/latin"):
        (tmp_path / name).write_bytes(VALUE.encode("utf-16"))
    (tmp_path / "nul").write_bytes(VALUE.encode() + b"\0")
    (tmp_path / "large").write_bytes(VALUE.encode() * 2000)
    environ = {"SHORT": "1234567", "BLANK": " " * 20 + "x\n", "MARK": "redacted", "GOOD": VALUE}
    assert problem(secrets, "{TAKEN: x}", **environ).startswith(told)


def test_unreadable_file_is_told(problem: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert "the file cannot be read (Too many levels of symbolic links)" in problem("{A: {file: loop}}")


def test_all_that_is_missing_is_told_at_once(load: Callable[..., dict[str, str]]) -> None:
    with pytest.raises(ConfigError) as caught:
        load("{A: {env: A}, B: {env: B}, C: {env: C}}", B=VALUE)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "projects.p.secrets.A",
        "projects.p.secrets.C",
    ]


@pytest.mark.parametrize(
    ("secrets", "is_valid"),
    [
        ({"A": {"env": "X"}, "B": {"file": "y"}}, True),
        ("secrets", True),
        ({"A": "x"}, False),
        ({"A": {"env": 1}}, False),
    ],
)
def test_editors_know_it(plugins: Plugins, secrets: Any, is_valid: bool) -> None:
    written = {"projects": {"p": {"backend": "code", "secrets": secrets}}}
    assert jsonschema.Draft202012Validator(json_schema(plugins)).is_valid(written) == is_valid


# --- on a server ---------------------------------------------------------------------------------------------------

CONFIG = """
store: {type: sqlite, path: s.db}
server: {log: {level: debug}}
projects:
  p:
    backend: scripted
    secrets: {TOKEN: {env: A_TOKEN}, PIN: {file: pin}}
"""
CODE = f"""\
setting TOKEN
err {VALUE[::-1]} {DIGITS}
ask Is {VALUE} safe, or {DIGITS}?
remember keys.{DIGITS} {{"{VALUE}": {DIGITS}}}
result {{"{VALUE}": [{DIGITS}, "x{VALUE}"]}}"""


def test_a_server_shows_them_nowhere(serve: Callable[..., RunningServer], tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(DIGITS + "\n")
    server = serve(CONFIG, "--log-format", "json", A_TOKEN=VALUE)
    url = json.loads(server.line_with("Listening on "))["message"].split()[-1]
    seen = []
    with httpx.Client(base_url=url, timeout=30) as client:
        request = {"project": "p", "code": CODE, "settings": {"TOKEN": "the request's"}}
        paused = client.post("/execute", params={"wait": 20}, json=request).json()
        assert paused["stdout"] == "[redacted]\n"
        assert paused["llm_request"]["prompt"] == "Is [redacted] safe, or [redacted]?"
        there = f"/executions/{paused['execution_id']}"
        client.post(f"{there}/respond", json={"response": "no"}).raise_for_status()
        over = client.get(there, params={"wait": 20}).json()
        assert over["result"] == {"[redacted]": ["[redacted]", "x[redacted]"]}
        assert over["memory_updates"] == {"keys.[redacted]": {"[redacted]": "[redacted]"}}
        assert over["stderr"] == "[redacted] [redacted]\n"
        seen += [client.get(path).text for path in ("/projects", "/openapi.json", "/executions", "/ready", there)]
    processes = [server.process.pid, *server.children()]
    seen += [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes]
    seen += [Path(f"/proc/{pid}/environ").read_bytes().decode() for pid in processes[1:]]
    server.process.terminate()
    assert server.ended() == 0
    seen += server.printed
    database = sqlite3.connect(tmp_path / "s.db")
    stored = [state.decode() for (state,) in database.execute("SELECT state FROM executions")]
    database.close()
    assert "[redacted]" in stored[0]
    seen += stored
    for value in (VALUE, DIGITS, VALUE[::-1]):  # the request's own code is kept as it came
        assert [text for text in seen if value in text.replace(CODE, "")] == []


def test_check_says_what_is_missing(serve: Callable[..., RunningServer], tmp_path: Path) -> None:
    server = serve(CONFIG)
    assert server.ended() == 1
    printed = "".join(server.printed)
    assert "airlock.yaml:7:15: projects.p.secrets.TOKEN: the environment variable is not set" in printed
    assert "airlock.yaml:7:38: projects.p.secrets.PIN: the file cannot be read" in printed


def test_a_job_does_not_show_its_settings() -> None:
    assert VALUE not in repr(Job(id="1", code="x", timeout=1, settings={"TOKEN": VALUE}))


def test_secrets_of_all_projects_are_kept_out_of_the_log() -> None:
    project: Any = SimpleNamespace(secrets={"TOKEN": SecretStr(VALUE)})
    redact = Config(projects={"p": project}).make_redactor().text
    for style in (logs.PlainFormatter(redact), logs.JsonFormatter(redact)):
        error = RuntimeError(f"{VALUE}\n{VALUE}")
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "said %s", (VALUE,), (RuntimeError, error, None))
        record.__dict__.update(event="e", fields={"detail": {"k": VALUE}, "run_ms": 3})
        shown = style.format(record)
        assert VALUE not in shown
        assert json.dumps(VALUE)[1:-1] not in shown
        assert shown.count("[redacted]") == 4


@pytest.mark.anyio
async def test_the_program_that_installs_packages_is_given_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/environ\nmkdir {tmp_path}/target\n")
    program.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(program))
    for name in ("AIRLOCK_API_KEY", "A_TOKEN", "VIRTUAL_ENV", "UV_INDEX_URL", "https_proxy"):
        monkeypatch.setenv(name, VALUE)
    await install_packages(Project(name="p", packages=("x",)), tmp_path / "target")
    given = dict(line.split("=", 1) for line in (tmp_path / "environ").read_text().splitlines())
    assert {name for name, value in given.items() if value == VALUE} == {"UV_INDEX_URL", "https_proxy"}
    assert given["PATH"] == os.environ["PATH"]
