"""Faulty plugins in a real server: each is named, and nothing else is affected."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.conftest import SCRIPTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

HASTY = """
import airlock

class Hasty(airlock.Mediator[airlock.MediatorSettings]):
    type = "hasty"

    def __init__(self, project, settings):
        raise SystemExit("no token")

    async def complete(self, request, ask_agent):
        return "yes"

@airlock.hookimpl
def airlock_register_mediators():
    return [Hasty]
"""

UNTRUE = """
import airlock

class Untrue(airlock.Mediator[airlock.MediatorSettings]):
    type = "untrue"

    def complete(self, request):
        return "yes"

@airlock.hookimpl
def airlock_register_mediators():
    return [Untrue]
"""

SHUT = """
from airlock.stores.memory import MemorySettings, MemoryStore
import airlock

class Shut(MemoryStore):
    type = "shut"
    is_mute = False

    def __init__(self, settings, directory):
        super().__init__(settings, directory)
        MISTAKE

    async def open(self):
        if self.is_mute:
            raise airlock.StoreRefused()
        raise ConnectionRefusedError("nobody at port 5432")

@airlock.hookimpl
def airlock_register_stores():
    return [Shut]
"""


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str, str], str]:
    """Install a module as the plugin airlock-NAME 0.1; returns the PYTHONPATH with it."""

    def install(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"airlock_{name}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: airlock-{name}\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text(f"[airlock]\n{name} = {name}\n")
        return f"{SCRIPTED}:{tmp_path}"

    return install


def test_mediator_that_cannot_be_made_costs_its_project_only(serve: Serve, install: Callable[[str, str], str]) -> None:
    path = install("hasty", HASTY)
    server = serve("projects: {one: {backend: scripted, llm: hasty}, two: {backend: scripted}}", PYTHONPATH=path)
    told = "The mediator 'hasty' could not be made (SystemExit: no token). This is a fault of the plugin"
    with httpx.Client(base_url=server.url) as client:
        assert told in server.line_with("project one is down")
        refused = client.post("/execute", json={"project": "one", "code": "say hello"})
        assert (refused.status_code, told in refused.json()["detail"]) == (409, True)
        ran = client.post("/execute?wait=20", json={"project": "two", "code": "say hello"}).json()
        assert (ran["status"], ran["stdout"]) == ("completed", "hello\n")


def test_wrong_class_is_told_at_start_and_where_airlock_yaml_names_it(
    serve: Serve, install: Callable[[str, str], str], tmp_path: Path
) -> None:
    path = install("untrue", UNTRUE)
    told = "plugin airlock-untrue 0.1 is broken: Untrue.complete is not async"
    assert told in serve("projects: {one: {backend: scripted}}", PYTHONPATH=path).line_with("is broken")
    (tmp_path / "airlock.yaml").write_text("projects:\n  one: {backend: scripted, llm: untrue}\n")
    for command, place in (("plugins", ""), ("check", "airlock.yaml:2:")):
        ran = airlock(tmp_path, path, command)
        assert (ran.returncode, place in ran.stderr) == (1, True)
        assert "airlock-untrue 0.1 is broken: Untrue.complete is not async" in ran.stderr
        assert "complete(request, ask_agent): too many positional arguments" in ran.stderr


def test_check_says_what_cannot_be_made_with_its_place(install: Callable[[str, str], str], tmp_path: Path) -> None:
    path = f"{install('hasty', HASTY)}:{install('shut', SHUT.replace('MISTAKE', 'self.no_such_thing'))}"
    (tmp_path / "airlock.yaml").write_text("store: shut\nprojects:\n  one: {backend: scripted, llm: hasty}\n")
    ran = airlock(tmp_path, path, "check")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "airlock.yaml:1:1: store: The store 'shut' could not be made (AttributeError: 'Shut' object" in ran.stderr
    assert "airlock.yaml:3:28: projects.one.llm: The mediator 'hasty' could not be made (SystemExit" in ran.stderr


def airlock(folder: Path, path: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from airlock.cli import main; main()", command],
        cwd=folder,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("self.no_such_thing", "The store 'shut' could not be made (AttributeError: 'Shut' object has no"),
        ("pass", "The store 'shut' could not be opened (ConnectionRefusedError: nobody at port 5432)."),
        ("self.is_mute = True", "The store 'shut' could not be opened (StoreRefused). This is a fault of the plugin"),
    ],
)
def test_store_that_fails_ends_the_start_with_a_sentence(
    serve: Serve, install: Callable[[str, str], str], mistake: str, told: str
) -> None:
    path = install("shut", SHUT.replace("MISTAKE", mistake))
    server = serve("store: shut\nprojects: {one: {backend: scripted}}", PYTHONPATH=path)
    assert server.ended() == 1
    assert told in server.line_with("airlock.yaml:1:1: store: ")
