"""What the user reads about an execution that ran out of memory, from the kernel's kill to the command line."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.testing import missing
from airlock.testing.attacks.causes import CHILD, LINE, NOTE, WAITS_FOREVER
from airlock_local import cgroups

CONFIG = "projects: {p: {backend: local, replicas: 1, limits: {memory: 64MiB}}}\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            WAITS_FOREVER,
            f"timeout: the script ran longer than its timeout of 5 s; it was at /workspace/main.py:8; {NOTE[0]}",
        ),
        (f"{CHILD}raise ValueError('no')", f"script_error: ValueError: no; {NOTE[0]}"),
        (
            "x = bytearray(400 << 20)",
            "memory_limit: the script used more than its memory (limits.memory is 64MiB)",
        ),
    ],
    ids=["waits", "fails", "dies"],
)
def test_the_error_says_what_ended_it_and_that_memory_was_short(tmp_path: Path, script: str, error: str) -> None:
    if os.geteuid() != 0:
        missing("root", "only a control group counts the memory of all processes of a script")
    (tmp_path / "airlock.yaml").write_text(CONFIG)
    (tmp_path / "script").write_text(script)
    command = [sys.executable, "-c", "from airlock.cli import main; main()", "run", "script", "--timeout", "5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert error in done.stderr
    assert (LINE[0] in done.stderr) == (NOTE[0] in error)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "code", ["{}", "try:\n    {}\nexcept RuntimeError as error: raise ValueError('no') from error"]
)
async def test_a_thread_that_does_not_fit_into_the_memory_names_it(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Without a control group: its stack counts as memory, and the system says only that it cannot start."""
    monkeypatch.setattr(cgroups, "find", lambda *_: None)
    local = await make_local(isolation="reduced", memory="256MiB", processes=500)
    start = "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    ran = await local.run("import threading, time\n" + code.format(start))
    assert "can't start new thread" in ran.stderr
    assert [line for line in ran.stderr.splitlines() if line.startswith("airlock:")] == [
        "airlock: limits.memory (256MiB) was reached"
    ]
    assert "airlock:" not in (await local.run("raise RuntimeError('no')")).stderr
