"""What a module that is imported ahead of need may not leave behind, each in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

PRELOAD = """
import sys
from airlock.worker import warm
sys.path.insert(0, sys.argv[1])
try:
    warm.preload(["json", "leaves"])
except warm.CannotPreload as error:
    print(error)
"""


def preload(source: str, folder: Path) -> str:
    """Return why a module is refused, or nothing."""
    (folder / "leaves.py").write_text(source)
    return subprocess.run([sys.executable, "-c", PRELOAD, folder], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
            "starts a thread (",
        ),
        ("file = open('/dev/zero')", "keeps /dev/zero open"),
        ("import os; os.dup2(os.open('/dev/zero', 0), 2)", "keeps /dev/zero open"),
        ("import socket; kept = socket.socket()", "keeps socket:"),
        ("import mmap; memory = mmap.mmap(-1, 4096)", "maps shared memory"),
        ("1 / 0", "preload: leaves: ZeroDivisionError: division by zero\n"),
    ],
)
def test_module_that_leaves_what_forks_share_or_lack_is_refused(source: str, said: str, tmp_path: Path) -> None:
    assert preload(source, tmp_path).removeprefix("preload: leaves: when it is imported, it ").startswith(said)


@pytest.mark.parametrize(
    "source", ["open('/dev/zero').close()", "import mmap; kept = mmap.mmap(-1, 9, mmap.MAP_PRIVATE)"]
)
def test_module_that_keeps_what_it_has_to_itself_is_imported(source: str, tmp_path: Path) -> None:
    assert preload(source, tmp_path) == ""
