"""The compared ways to run a script: each is an async function that takes code and returns nothing."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from http_client import Connection

from airlock import Job, Project
from airlock.testing import RecordingRun
from airlock_local import packages
from airlock_local.backend import LocalBackend, LocalSettings

Run = Callable[[str], Awaitable[None]]

LISTENING = re.compile(r"Listening on \S+:(\d+)")

CONFIG = """
projects:
  bench:
    replicas: {replicas}
    packages: {packages}
    preload: {packages}
    backend: {backend}
"""


class Served(NamedTuple):
    """A running server."""

    port: int
    pid: int


@asynccontextmanager
async def serve(config: str) -> AsyncIterator[Served]:
    """Serve this airlock.yaml on a free port, once a project is up."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "airlock.yaml")
        path.write_text(config)
        log = Path(folder, "log")  # a pipe that is not read would block the server once it is full
        with log.open("wb") as file:  # noqa: ASYNC230 - nothing else waits
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "airlock", "--config", str(path), "--port", "0", "--log-format", "plain"),
                stderr=file,
            )
        try:
            while not ((found := LISTENING.search(text := log.read_text())) and " is up: " in text):
                if process.returncode is not None:
                    raise RuntimeError(f"the server did not start: {text}")
                await asyncio.sleep(0.05)
            yield Served(int(found[1]), process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@asynccontextmanager
async def server(replicas: int, names: list[str], backend: str = "local") -> AsyncIterator[int]:
    """Serve one project on a free port; yields the port."""
    async with serve(CONFIG.format(replicas=replicas, packages=names, backend=backend)) as served:
        yield served.port


@asynccontextmanager
async def http_wait(port: int, connections: int, key: str = "") -> AsyncIterator[Run]:
    """`POST /execute?wait=30`."""
    async with _pool(port, connections, key) as borrow:

        async def run(code: str) -> None:
            connection = await borrow.get()
            try:
                answer = await connection.request("POST", "/execute?wait=30", {"project": "bench", "code": code})
            finally:
                borrow.put_nowait(connection)
            assert answer["status"] == "completed", answer

        yield run


@asynccontextmanager
async def http_polling(port: int, connections: int) -> AsyncIterator[Run]:
    """`POST /execute`, then `GET` once per millisecond."""
    async with _pool(port, connections) as borrow:

        async def run(code: str) -> None:
            connection = await borrow.get()
            try:
                body = {"project": "bench", "code": code}
                execution = (await connection.request("POST", "/execute", body))["execution_id"]
                answer = await connection.request("GET", f"/executions/{execution}")
                while answer["status"] in ("pending", "running"):
                    await asyncio.sleep(0.001)
                    answer = await connection.request("GET", f"/executions/{execution}")
            finally:
                borrow.put_nowait(connection)
            assert answer["status"] == "completed", answer

        yield run


@asynccontextmanager
async def _pool(port: int, connections: int, key: str = "") -> AsyncIterator[asyncio.Queue[Connection]]:
    free: asyncio.Queue[Connection] = asyncio.Queue()
    opened = [Connection(port, key) for _ in range(connections)]
    for connection in opened:
        free.put_nowait(connection)
    try:
        yield free
    finally:
        for connection in opened:
            connection.close()


@asynccontextmanager
async def without_http(replicas: int) -> AsyncIterator[Run]:
    """The backend alone, in this process."""
    backend = LocalBackend(Project(name="bench"), LocalSettings())
    await backend.scale(replicas)

    async def run(code: str) -> None:
        outcome = await backend.execute(Job(id="x", code=code, timeout=60), RecordingRun())
        assert outcome.error is None, outcome

    try:
        yield run
    finally:
        await backend.close()


@asynccontextmanager
async def with_packages(*names: str) -> AsyncIterator[Run]:
    """A fresh interpreter that finds packages where a project's sandboxes do."""
    site = await packages.provide(Project(name="bench", packages=names))

    async def run(code: str) -> None:
        await command("/usr/bin/python3", "-I", "-S", "-c", f"import sys\nsys.path.append({str(site.path)!r})\n{code}")

    try:
        yield run
    finally:
        site.close()


async def bare_subprocess(code: str) -> None:
    """A fresh interpreter without any isolation: `python3 -I -S -c`."""
    await command("/usr/bin/python3", "-I", "-S", "-c", code)


async def bubblewrap(code: str) -> None:
    """The same interpreter in bubblewrap's namespaces; no limits, no system call filter."""
    await command(
        "bwrap",
        *("--unshare-all", "--die-with-parent", "--new-run", "--cap-drop", "ALL"),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--clearenv"),
        *("/usr/bin/python3", "-I", "-S", "-c", code),
    )


def has_bubblewrap() -> bool:
    return shutil.which("bwrap") is not None


async def command(*words: str) -> None:
    """Run a program, which has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr
