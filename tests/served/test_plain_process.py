"""The example of a backend that boots workers: what the contract does not test."""

import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

import airlock
from airlock.testing import RecordingRun
from airlock.testing.backend.canary import Canary

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = """
import asyncio, sys
import airlock
from airlock.testing import RecordingRun
from plain_process import PlainBackend

async def main(code):
    backend = PlainBackend(airlock.Project(name="p"), airlock.BackendSettings())
    await backend.scale(1)
    await backend.execute(airlock.Job(id="1", code=code, timeout=600), RecordingRun())

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.anyio
async def test_script_that_never_looks_dies_with_a_server_that_is_killed() -> None:
    canary = Canary()
    command = [sys.executable, "-c", SERVER, f"{canary.code}\nwhile True: pass"]
    with subprocess.Popen(command, cwd=EXAMPLES) as server:
        try:
            assert await canary.appears(60)
        finally:
            server.kill()
    assert await canary.vanishes(60)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("held = [open('/dev/null') for _ in range(100)]", "airlock: limits.files (64) was reached"),
        (
            "import tempfile\nwith tempfile.TemporaryFile() as file: file.write(b'x' * (2 << 20))",
            "airlock: limits.file_size (1MiB) was reached",
        ),
    ],
)
async def test_limit_that_a_script_ran_into_is_named_on_stderr(code: str, told: str) -> None:
    limits = airlock.Limits(files=64, file_size=1 << 20)
    backend = example().PlainBackend(airlock.Project(name="p", limits=limits), airlock.BackendSettings())
    run = RecordingRun()
    await backend.scale(1)
    try:
        await backend.execute(airlock.Job(id="1", code=code, timeout=60), run)
    finally:
        await backend.scale(0)
        await backend.close()
    assert told in run.stderr


def example() -> Any:
    spec = util.spec_from_file_location("plain_process", EXAMPLES / "plain_process.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
