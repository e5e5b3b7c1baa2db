"""Servers that are forked from a process that has Airlock loaded: tests see them as newly started ones."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from airlock.testing.processes import LOADED, ServerProcess, Template, start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

MOCK = "projects: {p: {backend: mock}}\n"


@pytest.mark.parametrize("name", LOADED)
def test_what_is_loaded_before_the_first_fork_exists(name: str) -> None:
    assert importlib.util.find_spec(name), f"{name} has moved: each server would load it by itself"


def test_it_runs_in_its_folder_with_its_environment_and_its_path(serve: Serve, tmp_path: Path) -> None:
    server = serve("projects: {p: {backend: scripted}}\n", AIRLOCK_API_KEY="k")
    assert httpx.get(f"{server.url}/projects").status_code == 401
    folder = Path(f"/proc/{server.process.pid}/cwd").readlink()
    assert folder == tmp_path


def test_nothing_is_open_in_it_that_it_did_not_open(serve: Serve) -> None:
    def opened(is_new: bool) -> list[str]:
        server = serve(MOCK, is_new=is_new)
        assert server.url
        files = (path.readlink() for path in Path(f"/proc/{server.process.pid}/fd").iterdir())
        return sorted(str(file).partition(":")[0] for file in files)

    assert [name for name in opened(is_new=False) if name.startswith(("socket", "pipe", "anon"))] == [
        name for name in opened(is_new=True) if name.startswith(("socket", "pipe", "anon"))
    ]


def test_it_leads_a_session_of_its_own_and_is_nobodys_child_here(serve: Serve) -> None:
    server = serve(MOCK)
    pid = server.process.pid
    assert server.url
    assert os.getsid(pid) == pid
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert str(pid) not in children


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_its_exit_code_is_that_of_a_child(serve: Serve, number: signal.Signals) -> None:
    server = serve(MOCK)
    assert server.url
    assert server.process.poll() is None
    server.process.send_signal(number)
    assert server.ended() == (0 if number == signal.SIGTERM else -number)
    assert server.process.poll() == server.process.returncode == server.process.wait(0)
    server.process.kill()  # does nothing any more


def test_a_wait_that_is_too_short_is_a_timeout(serve: Serve) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        serve(MOCK).process.wait(0.01)


@pytest.fixture
def template() -> Iterator[Template]:
    """A template started while SIGINT and SIGHUP are ignored, as in a background job under `nohup`."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        template = Template()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    yield template
    template.close()


def forked(template: Template, folder: Path) -> ServerProcess:
    (folder / "airlock.yaml").write_text(MOCK)
    with (folder / "log").open("wb") as log:
        server = template.fork(["--port", "0"], folder, {**os.environ, "AIRLOCK_CONFIG": "airlock.yaml"}, log.fileno())
    give_up = time.monotonic() + 60
    while b"Listening on" not in (folder / "log").read_bytes():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_that_were_ignored_end_it(template: Template, tmp_path: Path, number: signal.Signals) -> None:
    server = forked(template, tmp_path)
    server.send_signal(number)
    assert server.wait(60) == 0


def test_with_the_process_that_forks_every_server_ends(template: Template, tmp_path: Path) -> None:
    server = forked(template, tmp_path)
    template.close()
    assert server.wait(60) == -signal.SIGKILL
    with pytest.raises(RuntimeError, match="has ended"):
        forked(template, tmp_path)


def test_a_folder_that_is_not_there_is_told_by_the_server(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        server = start_server([], directory=tmp_path / "nowhere", environ=os.environ, stderr=log.fileno())
    assert server.wait(60) == 1
    assert "FileNotFoundError" in (tmp_path / "log").read_text()
