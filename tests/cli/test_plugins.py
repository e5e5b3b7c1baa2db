"""`airlock plugins`, and plugins' own commands, which neither hide nor break those of core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from airlock.cli import app
from airlock.plugins import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable

    Install = Callable[[str, str], None]

PATIENCE = 60  # seconds; only a guard against hanging
QUEUE = """
import airlock, typer

app = typer.Typer(name="{word}")

@app.command()
def queue(project: str, most: int = 5) -> None:
    "Show what waits."
    print(project, most)

@airlock.hookimpl
def airlock_register_commands():
    return [app]
"""
GROUP = """
import airlock, typer

app = typer.Typer(name="tape", help="Recorded answers.")

@app.command()
def record() -> None:
    print("recorded")

@app.command()
def replay() -> None:
    raise typer.Exit(3)

@airlock.hookimpl
def airlock_register_commands():
    return [app]
"""
EMPTY = """
import airlock, typer

@airlock.hookimpl
def airlock_register_commands():
    return [typer.Typer(name="empty")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin of this name, with this source, for this process and those that it starts."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def install(name: str, source: str) -> None:
        module = f"fake_{name}_{tmp_path.name}".replace("-", "_")  # each test's own: modules stay imported
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"airlock_{name}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: airlock-{name}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[airlock]\n{name} = {module}\n")

    return install


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command line, in a process of its own."""
    airlock = Path(sys.executable).with_name("airlock")
    return subprocess.run([airlock, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)


# --- what works ------------------------------------------------------------------------------------------------------


def test_a_command_of_a_plugin_runs_with_its_arguments(install: Install) -> None:
    install("queue", QUEUE.format(word="queue"))
    result = started("queue", "python", "--most", "7")
    assert (result.returncode, result.stdout, result.stderr) == (0, "python 7\n", "")


def test_an_app_with_several_commands_has_them_below_its_name(install: Install) -> None:
    install("tape", GROUP)
    assert command("tape", "record").stdout == "recorded\n"
    assert command("tape", "replay").exit_code == 3


def test_help_lists_the_commands_of_plugins_behind_those_of_core(install: Install) -> None:
    install("queue", QUEUE.format(word="queue"))
    install("tape", GROUP)
    lines = [line.split(maxsplit=1) for line in command("--help").stdout.splitlines() if line.strip()]
    words = [line[0] for line in lines]
    assert ["queue", "Show what waits."] in lines
    assert ["tape", "Recorded answers."] in lines
    assert max(words.index(word) for word in COMMAND.taken) < words.index("queue") < words.index("tape")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_a_command_looks_like_that_of_core(install: Install, flag: str) -> None:
    install("queue", QUEUE.format(word="queue"))
    shown = command("queue", flag).stdout
    assert shown.startswith("Usage: ")
    assert "--most" in shown
    assert "completion" not in shown
    assert "─" not in shown, "boxes are no good in a pipe"


def test_plugins_lists_commands(install: Install) -> None:
    install("queue", QUEUE.format(word="queue"))
    lines = [" ".join(line.split()) for line in command("plugins").stdout.splitlines()]
    assert "airlock-queue 0.1 commands: queue" in lines


def test_the_words_that_no_plugin_may_take_are_those_of_core() -> None:
    assert {"serve", "exec", "keys"} < COMMAND.taken
    core = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    assert core | {each.name for each in app.registered_groups} == COMMAND.taken


# --- what is broken, and what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["keys", "new", "me"], ["up", "p", "--url", "nonsense"], ["init", "--help"]])
def test_a_command_of_core_imports_no_plugin(install: Install, tmp_path: Path, arguments: list[str]) -> None:
    seen = tmp_path / "imported"
    install("slow", f"open({str(seen)!r}, 'w').close()\nraise SystemExit(9)")
    assert started(*arguments).returncode == (2 if "up" in arguments else 0)
    assert not seen.exists()
    started("--help")
    assert seen.exists(), "else this test sees nothing"


def test_help_names_what_is_broken_and_lists_the_rest(install: Install) -> None:
    install("bad", "raise RuntimeError('no luck')")
    install("empty", EMPTY)
    install("queue", QUEUE.format(word="queue"))
    result = command("--help")
    assert result.exit_code == 0
    assert "  queue " in result.stdout
    assert "  empty " not in result.stdout
    assert "warning: plugin airlock-bad 0.1 is broken: " in result.stderr
    assert "warning: plugin airlock-empty 0.1 is broken: its command 'empty' cannot be made: " in result.stderr


def test_a_word_that_nobody_has_is_told_with_what_is_broken(install: Install) -> None:
    install("bad", "raise RuntimeError('no luck')")
    result = command("bad")
    assert result.exit_code == 2
    assert "No such command 'bad'" in result.stderr
    assert "warning: plugin airlock-bad 0.1 is broken: " in result.stderr


def test_a_command_of_core_cannot_be_hidden(install: Install) -> None:
    install("shadow", QUEUE.format(word="plugins"))
    result = command("plugins")
    assert result.exit_code == 1
    assert "airlock-shadow 0.1 is broken: the command 'plugins' is core's: choose another name" in result.stderr


def test_two_plugins_with_one_command_are_both_out_and_both_named(install: Install) -> None:
    install("one", QUEUE.format(word="queue"))
    install("two", QUEUE.format(word="queue"))
    result = command("queue", "python")
    assert result.exit_code == 2
    for name in ("one", "two"):
        assert f"warning: plugin airlock-{name} 0.1 is broken: command 'queue' is provided by " in result.stderr
