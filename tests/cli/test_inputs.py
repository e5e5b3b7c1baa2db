"""What `airlock run` is given: a script, settings, and memory that it updates."""

import json
import os
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import run
from typer.testing import CliRunner

from airlock.cli import app

pytestmark = pytest.mark.usefixtures("scripted_folder")


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
