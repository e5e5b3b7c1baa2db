"""A server process for one test, and code for projects on the mock backend, which runs nothing."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from .processes import ServerProcess, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HANG: Final = 120.0  # seconds; a hang guard
LISTENING: Final = re.compile(rb"Listening on (\S+)")


@contextmanager
def served(folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[tuple[ServerProcess, httpx.Client]]:
    """Serve `folder/airlock.yaml` in a process of its own, on a free port; the end of the block kills it.

    Yields the process, and a client for its address; its log is `folder/log`. `environ` is added to the environment,
    without its $AIRLOCK_... variables. The server is forked from a process that has Airlock loaded.

    Raises AssertionError, with the log, if the server does not start.
    """
    log = folder / "log"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}
    with log.open("wb") as file:
        server = start_server(
            ["--port", "0", "--log-format", "plain"],
            directory=folder,
            environ={**inherited, **(environ or {})},
            stderr=file.fileno(),
        )
    try:
        give_up = time.monotonic() + HANG
        while not (found := LISTENING.search(log.read_bytes())):
            assert server.poll() is None and time.monotonic() < give_up, log.read_text()  # noqa: PT018
            time.sleep(0.01)
        with httpx.Client(base_url=found[1].decode(), timeout=HANG) as client:
            yield server, client
    finally:
        server.kill()
        server.wait()


def code_that_asks(prompt: str) -> str:
    """Return code that pauses an execution of a mock project, as `awaiting_llm`, until it is answered.

    The answer completes the execution, with `{"echo": code, "answer": answer}` as the result.

    Raises ValueError if the prompt has more than one line.
    """
    if len(prompt.splitlines()) > 1:
        raise ValueError("a prompt of the mock backend is one line; this one has more")
    return f"# mock: ask {prompt}"
