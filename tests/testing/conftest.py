"""Fixtures of the tests of `airlock.testing`."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from airlock.testing.backend import loop_watch
from airlock.testing.contract import collect


@pytest.fixture(autouse=True)
def _what_inner_runs_leave_is_collected_here(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what bad plugins leave open in a run of `pytester`: its warnings would fail a later test."""
    yield
    if "pytester" in request.fixturenames:
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore")
            patch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's own warns only after this
            collect()


@pytest.fixture(autouse=True)
def _plain_process_can_be_imported(request: pytest.FixtureRequest) -> None:
    """Copy the example into the folder in which `pytester` runs."""
    if "pytester" in request.fixturenames:
        example = Path(__file__).parents[2] / "examples" / "plain_process.py"
        (request.getfixturevalue("pytester").path / "plain_process.py").write_text(example.read_text())


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


@pytest.fixture
def no_children_left() -> Iterator[None]:
    """Reap what a bad backend leaves: `failures` runs it as children of this process."""
    before = children()
    yield
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def a_short_block_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report short blocks even if the watch is late, on a busy machine."""
    monkeypatch.setattr(loop_watch, "BLOCKED", 0.05)
