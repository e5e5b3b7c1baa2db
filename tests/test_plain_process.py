"""The example of a backend that boots workers: what the contract does not ask of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from airlock.testing.canary import Canary

EXAMPLES = Path(__file__).parents[1] / "examples"
SERVER = """
import asyncio, sys
import airlock
from airlock.testing import RecordingSession
from plain_process import PlainBackend

async def main(code):
    backend = PlainBackend(airlock.Project(name="p"), airlock.BackendSettings())
    await backend.scale(1)
    await backend.execute(airlock.Job(id="1", code=code, timeout=600), RecordingSession())

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.anyio
async def test_script_that_never_looks_dies_with_a_server_that_is_killed() -> None:
    canary = Canary()
    command = [sys.executable, "-c", SERVER, f"{canary.code}\nwhile True: pass"]
    with subprocess.Popen(command, cwd=EXAMPLES) as server:
        try:
            assert await canary.appears()
        finally:
            server.kill()
    assert await canary.vanishes(10)
