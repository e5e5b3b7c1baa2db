"""The same tests once more, as a user without any rights: one code path serves both kinds of start."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airlock.testing import missing

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        missing("root", "only root can become another user; the other tests run as this one already")


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "contract",
        "attacks",
        "breaches",
        "straight_path",
        "confinement",
        "recovery",
        "preload",
        "diagnosis",
        "selftest",
        "slots",
        "mutations",
        "networks",
    ],
)
def test_it_holds_for_an_ordinary_user(name: str, tmp_path: Path, become: Callable[[Path], None]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not more",
            "-p",
            "no:cacheprovider",
            str(HERE / f"test_{name}.py"),
        ],
        cwd=REPOSITORY,
        preexec_fn=lambda: become(home),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=600,  # a hang guard: it takes two minutes alone
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
