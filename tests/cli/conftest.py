"""`airlock run` in a folder with a scripted backend, in this process and in one of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from airlock.cli import app

SCRIPTED = Path(__file__).parents[1] / "scripted"
PATIENCE = 60  # seconds; only a guard against hanging


@pytest.fixture
def scripted_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in a folder with a project on the scripted backend, `p`, and one on the mock backend, `m`."""
    monkeypatch.delenv("AIRLOCK_CONFIG")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPTED)
    Path("airlock.yaml").write_text("default_backend: mock\nprojects: {p: {backend: scripted}, m: {backend: mock}}\n")


def run(script: str, *arguments: str) -> Result:
    """Run `airlock run script` in this process."""
    Path("script").write_text(script)
    return CliRunner().invoke(app, ["run", "script", *arguments])


Processes = list[subprocess.Popen[bytes]]


@pytest.fixture
def processes() -> Iterator[Processes]:
    started: Processes = []
    yield started
    for process in started:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            process.kill()


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
