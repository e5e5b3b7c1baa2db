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


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio: Airlock is written for it."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the configuration, the key and the state of a server that runs in this folder."""
    monkeypatch.setenv("AIRLOCK_CONFIG", str(Path(__file__).parent / "airlock.yaml"))
    monkeypatch.delenv("AIRLOCK_API_KEY", raising=False)
    monkeypatch.delenv("AIRLOCK_URL", raising=False)


SCRIPTED = Path(__file__).parent / "scripted"
PATIENCE = 60  # seconds; only a guard against hanging


class RunningServer:
    """A real `python -m airlock` on a free port of loopback."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
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
        """Processes that it started."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.printed.extend(iter(self.process.stderr.readline, ""))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers with this airlock.yaml; `backend: scripted` is installed for them."""
    with servers(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Start servers that all tests of a module share."""
    with servers(tmp_path_factory.mktemp("server")) as start:
        yield start


@contextmanager
def servers(folder: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers in this folder, and end them."""
    started: list[RunningServer] = []

    def start(config: str | None, *arguments: str, **environ: str) -> RunningServer:
        if config is not None:
            (folder / "airlock.yaml").write_text(config)
        options = [] if {"--port", "--config"} & set(arguments) else ["--port", "0"]
        options += [] if "--log-format" in arguments else ["--log-format", "plain"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "airlock", *options, *arguments],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(SCRIPTED), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(RunningServer(process))
        return started[-1]

    yield start
    for server in started:
        server.process.terminate()
        server.process.terminate()  # at once, but with all that it started
        try:
            server.ended()
        finally:
            server.process.kill()
        assert server.process.stderr is not None
        server.process.stderr.close()


# `make soak` looks much longer for what breaks a property than `make test` does.
settings.register_profile("soak", max_examples=20_000, deadline=None)
if os.environ.get("AIRLOCK_TEST_SOAK"):
    settings.load_profile("soak")
