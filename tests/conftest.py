"""Fixtures of the core's tests."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from airlock.testing.processes import ServerProcess, start_server


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, which Airlock requires."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the configuration, key and state of a server that uses this folder."""
    monkeypatch.setenv("AIRLOCK_CONFIG", str(Path(__file__).parent / "airlock.yaml"))
    monkeypatch.delenv("AIRLOCK_API_KEY", raising=False)
    monkeypatch.delenv("AIRLOCK_URL", raising=False)


SCRIPTED = Path(__file__).parent / "scripted"
PATIENCE = 60  # seconds; only a guard against hanging


class RunningServer:
    """A real `python -m airlock` on a free port of loopback."""

    def __init__(self, process: ServerProcess | subprocess.Popen[bytes], stderr: int) -> None:
        self.process = process
        self.printed: list[str] = []
        self._stderr = open(stderr, encoding="utf-8")  # noqa: SIM115 - until `close`
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def url(self) -> str:
        """The server's URL, once it listens."""
        return self.line_with("Listening on ").split()[-1]

    def line_with(self, text: str) -> str:
        """Wait for a line on stderr."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            ended = self.process.poll() is not None and not self._reader.is_alive()
            for line in self.printed:
                if text in line:
                    return line
            if ended:
                break
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not printed:\n{''.join(self.printed)}")

    def children(self) -> list[int]:
        """The processes that the server has started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def ended(self) -> int:
        """Wait for the server to end; returns the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """Kill the server and all processes that it started."""
        self.process.terminate()
        self.process.terminate()
        try:
            self.ended()
        finally:
            self.process.kill()
        self._stderr.close()

    def _read(self) -> None:
        self.printed.extend(iter(self._stderr.readline, ""))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers with this airlock.yaml, in which `backend: scripted` is available."""
    with servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Start servers that all tests of a module share."""
    with servers(tmp_path_factory.mktemp("server")) as start:
        yield start


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers in this folder, and end them; with `is_new`, one starts as for users, without a fork server."""
    started: list[RunningServer] = []

    def start(config: str | None, *arguments: str, is_new: bool = False, **environ: str) -> RunningServer:
        if config is not None:
            (folder / "airlock.yaml").write_text(config)
        options = [] if {"--port", "--config"} & set(arguments) else ["--port", "0"]
        options += [] if "--log-format" in arguments else ["--log-format", "plain"]
        options += arguments
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}
        environ = {**inherited, "PYTHONPATH": str(SCRIPTED), **environ}
        reads, writes = os.pipe()
        process: ServerProcess | subprocess.Popen[bytes]
        if is_new:
            command = [sys.executable, "-m", "airlock", *options]
            process = subprocess.Popen(command, cwd=folder, env=environ, stderr=writes)
        else:
            process = start_server(options, directory=folder, environ=environ, stderr=writes)
        os.close(writes)
        started.append(RunningServer(process, reads))
        return started[-1]

    yield start
    for server in started:
        server.close()


# Time says nothing about a property on a busy machine. `make soak` looks much longer for what breaks one.
settings.register_profile("test", deadline=None)
settings.register_profile("soak", max_examples=20_000, deadline=None)
settings.load_profile("soak" if os.environ.get("AIRLOCK_TEST_SOAK") else "test")
