"""Servers that are killed at random moments lose nothing that they accepted, and leave nothing of their sandboxes."""

import os
from pathlib import Path

import pytest

from airlock.testing import Crashes
from airlock.testing.attacks import IS_SOAK

ROUNDS = 200 if IS_SOAK else 3
CODES = ["print('x')", "import time; time.sleep(0.05)", "llm.complete('?')", "set_result(1)"]


@pytest.mark.long
def test_kills_at_random_moments_lose_and_leave_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    names: set[str] = set()
    crashes = Crashes(tmp_path, "local", CODES, environ={"TMPDIR": str(temporary)})
    # The pause leaves time to run what is accepted: what waits would grow from round to round.
    crashes.kill(ROUNDS, within=1.0, pause=0.01, before_kill=lambda: names.update(os.listdir(temporary)))
    found = crashes.finish()
    assert set(found) <= {None, "interrupted"}
    assert found[None]
    assert names
    assert os.listdir(temporary) == []
    assert [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if Path(folder).name in names] == []
