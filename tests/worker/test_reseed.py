"""Forks of one interpreter draw different numbers, also from what was seeded before the fork."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airlock.testing import missing

# Two forks that are pid 1 as the interpreter itself is: OpenSSL compares pids. It needs root, or user namespaces.
FORKS = """
import ctypes, json, multiprocessing.process, os, random, ssl, sys, tempfile, uuid
from airlock.worker.reseed import Reseeding

NEWPID, NEWUSER = 0x20000000, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(NEWUSER | NEWPID) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
home = os.open("/proc/self/ns/pid_for_children", os.O_RDONLY)

def draw():
    return {
        "multiprocessing": bytes(multiprocessing.process.current_process().authkey).hex(),
        "random": random.getrandbits(52),
        "ssl": ssl.RAND_bytes(8).hex(),
        "tempfile": next(tempfile._get_candidate_names()),
        "uuid.getnode": uuid.getnode(),
        "uuid.uuid1": uuid.uuid1().node,
    }

reseeding = Reseeding([])
draw()
for _ in range(2):
    assert libc.unshare(NEWPID) == 0
    child = os.fork()
    if child == 0:
        assert os.getpid() == 1
        if sys.argv[1] == "anew":
            reseeding.run()
        print(json.dumps(draw()), flush=True)
        os._exit(0)
    os.wait()
    assert libc.setns(home, NEWPID) == 0
"""


def equal(how: str) -> set[str]:
    """Return what two forks drew alike."""
    ran = subprocess.run([sys.executable, "-c", FORKS, how], capture_output=True, text=True, check=False)
    if ran.returncode:
        missing("sandbox", ran.stderr)
    one, two = map(json.loads, ran.stdout.splitlines())
    return {source for source in one if one[source] == two[source]}


def test_forks_draw_different_numbers_once_they_are_seeded_anew() -> None:
    assert equal("anew") == set()


def test_forks_that_are_not_seeded_anew_draw_the_same_numbers() -> None:
    """All but `random`, which sees to it by itself: so the test above can fail."""
    assert equal("not") == {"multiprocessing", "ssl", "tempfile", "uuid.getnode", "uuid.uuid1"}


RESEED = """
import sys
sys.path.insert(0, sys.argv[1])
from airlock.worker import reseed, warm
reseed.TRIAL_TIME = 2
try:
    reseed.Reseeding(sys.argv[2:]).run()
except warm.CannotPreload as error:
    print(error)
"""
MODULE = """
import ctypes, os, threading, time
class Class:
    number = 1
    @classmethod
    def seed(cls): print("seeded")
def fails(): raise ValueError("no entropy")
def ends(): raise SystemExit
def exits(): os._exit(0)
def hangs(): time.sleep(60)
def opens(): Class.file = open("/dev/zero")
def threads(): threading.Thread(target=named, daemon=True).start()
def named():
    ctypes.CDLL(None).prctl(15, b"counter")
    time.sleep(60)
seed = Class.seed
"""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["torch:Class.seed"], "seeded\n" * 4),  # by itself ahead of the forks, in a trial, and both ways in a fork
        (["torch:fails"], "seeded\npreload_reseed: torch:fails failed: ValueError: no entropy\n"),
        (["torch:ends"], "seeded\npreload_reseed: torch:ends failed: SystemExit\n"),
        (["os:abort"], "preload_reseed: os:abort ends the process (SIGABRT)\n"),
        (["torch:exits"], "seeded\npreload_reseed: torch:exits ends the process (exit code 0)\n"),
        (["os:fork"], "preload_reseed: os:fork leaves a process behind\n"),
        (["torch:hangs"], "seeded\npreload_reseed: torch:hangs does not return within 2 s\n"),
        (
            ["torch:opens"],
            "seeded\npreload_reseed: torch:opens keeps /dev/zero open, and scripts do not inherit open files\n",
        ),
        (
            ["torch:threads"],
            "seeded\npreload_reseed: torch:threads starts a thread (counter), and threads do not survive a fork\n",
        ),
        (["torch:Class.number"], "preload_reseed: torch:Class.number is not a function, but of type int\n"),
        (["torch:none"], "preload_reseed: torch:none: module 'torch' has no attribute 'none'\n"),
        (["none:seed"], "preload_reseed: none:seed: ModuleNotFoundError: No module named 'none'\n"),
    ],
)
def test_functions_are_called_by_name_and_named_if_they_fail(names: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(MODULE)  # in the place of one that is known, and too big for a test
    command = [sys.executable, "-u", "-c", RESEED, str(tmp_path), *names]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == said
