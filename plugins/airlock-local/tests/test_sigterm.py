"""SIGTERM for every process of a service at once, as systemd sends it unless the unit says `KillMode=mixed`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

SOON = 30.0
HANDLES = """
import signal, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append("told"))
print(1)
while not told: time.sleep(0.01)
set_result("told")
"""
HANDLES_NOTHING = "import time\nprint(1)\ntime.sleep(60)"


def comm(process: Path) -> str:
    try:
        return process.joinpath("comm").read_text().strip()
    except FileNotFoundError:
        return ""


async def test_it_ends_scripts_that_do_not_handle_it_and_nothing_else(
    make_local: Callable[..., Awaitable[Any]], descendants: Callable[[int], list[int]]
) -> None:
    """It is not kept from scripts: they may rely on it among their own processes."""
    local = await make_local(replicas=2)
    box = local.backend._box
    (handling, first), (other, second) = local.start(HANDLES), local.start(HANDLES_NOTHING)
    async with asyncio.timeout(SOON):
        for run in (first, second):
            await run.until(lambda run: run.stdout)
    below = descendants(box._process.pid)
    scripts = [path for path in map(Path, map("/proc/{}".format, below)) if comm(path) == "airlock-script"]
    for pid in [box._process.pid, *below]:
        with contextlib.suppress(ProcessLookupError):  # it helped to make a standby, and has ended
            os.kill(pid, signal.SIGTERM)
    assert (await handling).result == "told"
    ended = await other
    assert ended.error_type == "script_error"
    assert "SIGTERM" in ended.error
    async with asyncio.timeout(SOON):
        while any(path.exists() for path in scripts):  # the standbys among them; one that is dying still takes a job
            await asyncio.sleep(0.01)
    assert await local.result("set_result('next')") == "next"
    assert local.backend._box is box
    assert box.is_alive
