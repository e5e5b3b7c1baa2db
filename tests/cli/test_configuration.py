"""The commands around airlock.yaml and plugins."""

import json
import os
import re
import stat
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from airlock.cli import app
from airlock.config import load_config
from airlock.plugins.manager import Plugins


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRLOCK_CONFIG")
    monkeypatch.chdir(tmp_path)


def airlock(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def install(folder: Path, name: str, module: str) -> None:
    """Install a distribution with a plugin in a folder of sys.path."""
    information = folder / f"{name}-2.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
    (information / "entry_points.txt").write_text(f"[airlock]\n{name} = {name}\n")
    (folder / f"{name}.py").write_text(module)


def test_version() -> None:
    assert airlock("--version").stdout == f"airlock {version('airlock-core')}\n"


def test_no_command_lists_the_commands() -> None:
    listed = airlock().output
    for name in ("serve", "run", "init", "check", "plugins", "schema"):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)


def test_an_unknown_option_is_2() -> None:
    result = airlock("check", "--cofnig", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--cofnig" in result.stderr


# --- init ------------------------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_check_accepts() -> None:
    result = airlock("init")
    assert result.exit_code == 0
    assert "airlock.yaml" in result.stderr
    assert Path("airlock.yaml").read_text().startswith("#")
    assert load_config(Path("airlock.yaml"), Plugins.discover(), {}).projects
    assert airlock("check").exit_code == 0


def test_init_writes_where_it_is_told() -> None:
    assert airlock("init", "other.yaml").exit_code == 0
    assert os.listdir() == ["other.yaml"]


def test_init_does_not_overwrite() -> None:
    Path("airlock.yaml").write_text("mine")
    result = airlock("init")
    assert (result.exit_code, Path("airlock.yaml").read_text()) == (1, "mine")
    assert "--force" in result.stderr


def test_init_overwrites_when_forced() -> None:
    Path("airlock.yaml").write_text("mine")
    assert airlock("init", "--force").exit_code == 0
    assert Path("airlock.yaml").read_text() != "mine"


def test_init_into_a_folder_that_is_not_there_is_1() -> None:
    result = airlock("init", "no/such/folder.yaml")
    assert (result.exit_code, result.stderr) == (1, "error: no/such/folder.yaml: No such file or directory\n")


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_shows_the_projects() -> None:
    Path("airlock.yaml").write_text("projects: {b: {backend: mock, replicas: 3}, longer: {backend: mock}}\n")
    result = airlock("check")
    assert result.exit_code == 0
    assert result.stdout == (
        "airlock.yaml: ok\n"
        "  b       replicas 3  backend mock  runs no code\n"
        "  longer  replicas 1  backend mock  runs no code\n"
    )
    assert result.stderr == ""


def test_check_prints_every_problem_on_a_line_of_its_own() -> None:
    Path("airlock.yaml").write_text("sever: {}\nprojects:\n  p: {backend: nope}\n  q: {backend: mock, replicsa: 2}\n")
    result = airlock("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == [
        "airlock.yaml:1:1:",
        "airlock.yaml:3:7:",
        "airlock.yaml:4:22:",
    ]


def test_check_never_wraps_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Path("airlock.yaml").write_text(f"projects: {{{'x' * 60}: {{backend: no-such-backend-by-far}}}}\n")
    assert len(airlock("check").stderr.splitlines()) == 1


def test_check_takes_brackets_as_they_are() -> None:
    Path("airlock.yaml").write_text('projects: {"[bold]p[/bold]": {backend: mock}}\n')
    assert "[bold]p[/bold]" in airlock("check").stderr


def test_check_warns_of_what_default_backend_does() -> None:
    Path("airlock.yaml").write_text("default_backend: mock\n")
    result = airlock("check")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: default_backend is mock")


def test_check_says_that_serve_would_refuse_to_listen() -> None:
    Path("airlock.yaml").write_text("server: {host: 0.0.0.0}\nprojects: {p: {backend: local}}\n")
    result = airlock("check")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: airlock.yaml:1:10: server.host: refusing to listen on 0.0.0.0")


@pytest.mark.parametrize("key", ["", " ", "schlüssel"])
def test_check_refuses_a_key_that_serve_would(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    Path("airlock.yaml").write_text("projects: {p: {backend: mock}}\n")
    monkeypatch.setenv("AIRLOCK_API_KEY", key)
    result = airlock("check")
    assert (result.exit_code, result.stderr.count("AIRLOCK_API_KEY")) == (1, 1)
    assert "must be printable ASCII and not empty" in result.stderr


def test_check_names_a_missing_variable_beside_every_other_problem() -> None:
    Path("airlock.yaml").write_text(
        "server:\n  host: ${NOPE}\n  keys:\n    - {name: a, sha256: short, projects: [q]}\n"
        "    - {name: a, sha256: short, rate: often}\n"
        "projects:\n  p:\n    backend: ${NOPE}\n    secrets: {TOKEN: {file: '${NOPE}/t'}}\n    replicas: many\n"
    )
    result = airlock("check")
    assert result.exit_code == 1
    told = [line for line in result.stderr.splitlines() if "airlock.yaml:" in line]
    assert [line.split(":")[1] for line in told] == ["2", "4", "4", "5", "5", "5", "5", "8", "9", "10"], result.stderr
    for text in ("NOPE is not set", "no such project", "another key has this name", "another entry", "not a rate"):
        assert text in result.stderr


def test_check_refuses_a_store_that_serve_would_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    Path("mine.txt").write_text("mine")
    Path("airlock.yaml").write_text("store: {type: sqlite, path: mine.txt}\ndefault_backend: mock\n")
    result = airlock("check")
    assert result.exit_code == 1
    assert "airlock.yaml:1:1: store: " in result.stderr
    assert "mine.txt: not an Airlock store" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airlock.yaml", "mine.txt"]


def test_check_warns_of_a_store_that_this_user_cannot_write() -> None:
    Path("file").write_text("")
    Path("airlock.yaml").write_text("store: {type: sqlite, path: file/s.db}\ndefault_backend: mock\n")
    result = airlock("check")
    assert result.exit_code == 0
    assert "file: cannot be written by this user" in result.stderr


def test_check_of_a_store_makes_nothing(tmp_path: Path) -> None:
    Path("airlock.yaml").write_text("store: sqlite\ndefault_backend: mock\n")
    assert airlock("check").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["airlock.yaml"]


STORE_OF_A_PLUGIN = """
import airlock
from airlock.stores import MemoryStore

class Checked(MemoryStore):
    type = "checked"

    @classmethod
    def check(cls, settings, directory):
        BODY

@airlock.hookimpl
def airlock_register_stores():
    return [Checked]
"""


@pytest.mark.parametrize(
    ("body", "told", "code"),
    [
        ("return ['port 5432 is closed to this user']", "warning: airlock.yaml:1:1: store: port 5432 is closed", 0),
        (
            "raise airlock.StoreRefused('create a database')",
            "airlock.yaml:1:1: store: create a database",
            1,
        ),
        ("raise airlock.StoreRefused", "The store 'checked' could not be checked (StoreRefused)", 1),
        ("raise OSError('gone')", "could not be checked (OSError: gone). This is a fault of the plugin", 1),
    ],
)
def test_check_asks_a_plugins_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, told: str, code: int
) -> None:
    monkeypatch.delitem(sys.modules, "checked_store", raising=False)  # of the case before
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "checked_store", STORE_OF_A_PLUGIN.replace("BODY", body))
    Path("airlock.yaml").write_text("store: checked\ndefault_backend: mock\n")
    result = airlock("check")
    assert (told in result.stderr, result.exit_code) == (True, code), result.stderr


def test_check_of_a_file_that_is_not_there_is_1() -> None:
    result = airlock("check", "--config", "nope.yaml")
    assert (result.exit_code, result.stderr) == (1, "nope.yaml: no such file (--config names it)\n")


def test_check_without_a_file_checks_what_is_built_in() -> None:
    result = airlock("check")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "built-in defaults, without airlock.yaml: ok")


# --- plugins and schema ----------------------------------------------------------------------------------------------


def test_plugins_names_distribution_version_and_what_it_offers() -> None:
    result = airlock("plugins")
    assert result.exit_code == 0
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines())
    assert rows[f"airlock-mock {version('airlock-mock')}"] == (
        "backends: mock; mediators: canned; projects: mock-project"
    )
    assert rows[f"airlock-core {version('airlock-core')}"] == "mediators: agent; stores: memory, sqlite"


def test_plugins_says_what_is_broken_and_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path, "shattered", "import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = airlock("plugins")
    assert result.exit_code == 1
    assert "airlock-mock" in result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("error: shattered 2.5 is broken")
    assert "no_such_module_anywhere" in line


def test_what_a_broken_plugin_says_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path, "noisy", "raise RuntimeError('\\x1b]0;owned\\x07 \\x1b[2J')\n")
    monkeypatch.syspath_prepend(tmp_path)
    printed = airlock("plugins").stderr
    assert "owned" in printed
    assert "\x1b" not in printed


def test_schema_describes_the_file_and_the_options_of_plugins() -> None:
    schema = json.loads(airlock("schema").stdout)
    assert {"server", "default_backend", "projects"} <= set(schema["properties"])
    assert "answers" in json.dumps(schema)  # an option of the mediator `canned`


def test_a_written_file_is_readable_by_others() -> None:
    airlock("init")
    assert stat.S_IMODE(Path("airlock.yaml").stat().st_mode) & stat.S_IRUSR


def test_check_shows_the_cores_of_an_execution_also_where_they_are_a_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    path = tmp_path / "airlock.yaml"
    path.write_text("projects: {a: {backend: local}, b: {backend: local, limits: {cpus: 1.5}}}")
    shown = CliRunner().invoke(app, ["check", "--config", str(path)]).stdout
    assert [line.rpartition("  ")[2] for line in shown.splitlines()[1:3]] == ["limits.cpus 3", "limits.cpus 1.5"]
