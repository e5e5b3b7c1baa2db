"""Servers that are killed at random moments lose nothing that they accepted, and leave no container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from airlock.testing import Crashes
from airlock.testing.attacks import IS_SOAK

if TYPE_CHECKING:
    from pathlib import Path

    import docker

ROUNDS = 200 if IS_SOAK else 2
CODES = ["print('x')", "import time; time.sleep(0.05)", "llm.complete('?')", "set_result(1)"]


@pytest.mark.long
def test_kills_at_random_moments_lose_and_leave_nothing(
    tmp_path: Path, own_state: Path, client: docker.DockerClient, base_image: str
) -> None:
    names: set[str] = set()
    crashes = Crashes(tmp_path, f"{{type: docker, image: {base_image}}}", CODES)
    crashes.kill(ROUNDS, within=2.0, pause=0.2, before_kill=lambda: names.update(os.listdir(own_state)))
    found = crashes.finish()
    assert set(found) <= {None, "interrupted"}
    assert found[None]
    assert names
    labels = [f"airlock.instance={name}" for name in names]
    assert [left for label in labels for left in client.api.containers(all=True, filters={"label": label})] == []
