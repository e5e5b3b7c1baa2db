"""The self-test of a Linux sandbox: an execution that tries what must be refused, before any other one runs.

What every sandbox has to hold stands here; a backend adds what only it can say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airlock.backends import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airlock.backends import Stream, Worker
    from airlock.models import LLMRequest

TIMEOUT: Final = 10

COMMON: Final = """
import ctypes, json, os, resource, socket

def refused(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False

def call(number, *arguments):
    if ctypes.CDLL(None, use_errno=True).syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def is_empty(path):
    if not os.path.exists(path):
        return True
    try:
        if os.path.isdir(path):
            return not os.listdir(path)
        with open(path) as file:
            return not file.read(1)
    except PermissionError:  # it tells as little
        return True

limits = json.loads(settings.get("limits"))
with open("/proc/self/status") as file:
    status = dict(line.split(":\\t", 1) for line in file.read().splitlines() if ":\\t" in line)
common = {
    "its own run": os.getsid(0) == os.getpgrp() == os.getpid(),
    "no processes of others": {p for p in os.listdir("/proc") if p.isdigit()} == {"1", str(os.getpid())},
    "resource limits": all(resource.getrlimit(int(number))[1] <= limits[number] for number in limits),
    "a user who owns nothing": os.stat("/usr/lib").st_uid != os.getuid() and refused(lambda: os.setuid(0)),
    "no capabilities": {int(status[name], 16) for name in status if name.startswith("Cap")} == {0},
    "no new privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 1,
    "seccomp": status["Seccomp"] == "2" and refused(lambda: socket.socket(40))
        and ctypes.CDLL(None).inotify_init1(0) < 0,
    "Landlock": refused(lambda: open("/proc/self/comm", "w")),
    "no further namespaces": refused(lambda: call(272 if os.uname().machine == "x86_64" else 97, 0x10000000)),
    "no network": all(line.split(":")[0].strip() in ("", "lo") for line in open("/proc/net/dev").readlines()[2:])
        and len(open("/proc/net/route").readlines()) < 2,
    "a read-only root": all(refused(lambda: open(p + "/canary", "w")) for p in ("", "/usr", "/usr/lib", "/dev")),
    "a private /tmp": all(os.path.ismount(p) and os.listdir(p) == [] for p in ("/tmp", "/dev/shm")),
    "no descriptors of others": sorted(os.listdir("/proc/self/fd")) == ["0", "1", "2", "3", "4"],
}
"""


@dataclass
class Transcript:
    """A run that keeps what it hears."""

    output: bytearray = field(default_factory=bytearray)
    has_started: bool = False

    async def started(self) -> None:
        """There is no clock to start."""
        self.has_started = True

    def on_pause(self, changed: Callable[[bool], None]) -> None:
        """There is no clock to stop."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Keep output, to show it should the test fail."""
        self.output += data

    def note(self, text: str) -> None:
        """Nothing is killed for memory in a self-test."""

    def keep(self, result: Any, memory_updates: Mapping[str, Any]) -> None:
        """Nothing is ended early in a self-test."""

    async def complete(self, request: LLMRequest) -> NoReturn:
        """The self-test asks no model."""
        raise AssertionError(request)


async def self_test(
    worker: Worker, limits: Mapping[int, int], own: str = "{}", settings: Mapping[str, str] | None = None
) -> list[str]:
    """Run the self-test on this worker; returns what does not hold, in words.

    `limits` are upper bounds of RLIMIT_*. `own` is the backend's part: an expression for a dict from words to whether
    it holds, in which the names of `COMMON` and `settings` are known.
    """
    transcript = Transcript()
    code = f"{COMMON}\nset_result({{**common, **{own.strip()}}})"
    job = Job(
        id="self-test", code=code, timeout=TIMEOUT, settings={"limits": json.dumps(dict(limits)), **(settings or {})}
    )
    outcome = await worker.run(job, transcript)
    if outcome.error is not None or not isinstance(outcome.result, dict):
        return [f"the self-test itself ({outcome.error}) {transcript.output.decode(errors='replace')[-500:]}"]
    found: dict[str, Any] = outcome.result
    return [what for what, holds in found.items() if holds is not True]
