"""The execution that every box has to pass before it gets any other: it asserts its own confinement, by effect."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airlock import Job

if TYPE_CHECKING:
    from pathlib import Path

    from airlock import LLMRequest, Stream

    from .box import Box
    from .standby import LocalWorker

TIMEOUT: Final = 10

SCRIPT: Final = """
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

zygotes = json.loads(settings.get("namespaces"))
limits = json.loads(settings.get("limits"))
with open("/proc/self/status") as file:
    status = dict(line.split(":\\t", 1) for line in file.read().splitlines() if ":\\t" in line)
set_result({
    **{f"its own {name} namespace": os.readlink(f"/proc/self/ns/{name}") != zygotes[name] for name in zygotes},
    "no processes of others": os.getpid() == 2 and sorted(p for p in os.listdir("/proc") if p.isdigit()) == ["1", "2"],
    "its own uid": open("/proc/self/uid_map").read().split() == ["1000", settings.get("uid"), "1"],
    "its own session": os.getsid(0) == os.getpgrp() == os.getpid(),
    "resource limits": all(resource.getrlimit(int(number))[1] <= limits[number] for number in limits),
    "a user who owns nothing": os.stat("/usr/lib").st_uid != os.getuid() and refused(lambda: os.setuid(0)),
    "no capabilities": not any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")),
    "no new privileges": status["NoNewPrivs"] == "1",
    "seccomp": status["Seccomp"] == "2" and refused(lambda: socket.socket(40)),
    "Landlock": refused(lambda: open("/proc/self/comm", "w")),
    "no further namespaces": refused(lambda: call(272 if os.uname().machine == "x86_64" else 97, 0x10000000)),
    "no network": all(line.split(":")[0].strip() in ("", "lo") for line in open("/proc/net/dev").readlines()[2:])
        and len(open("/proc/net/route").readlines()) < 2,
    "no host files": not os.path.exists(settings.get("canary")) and os.listdir("/etc") in ([], ["ld.so.cache"]),
    "a read-only root": all(refused(lambda: open(p + "/canary", "w")) for p in ("", "/usr", "/usr/lib", "/dev")),
    "a private /tmp": all(os.path.ismount(p) and os.listdir(p) == [] for p in ("/tmp", "/dev/shm")),
    "no descriptors of others": sorted(os.listdir("/proc/self/fd")) == ["0", "1", "2", "3", "4"],
    "no environment of the server": len(os.environ) < 12 and settings.get("canary") not in str(os.environ),
})
"""


@dataclass
class Transcript:
    """A session that keeps what it hears."""

    output: bytearray = field(default_factory=bytearray)

    async def started(self) -> None:
        """There is no clock to start."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Keep output, to show it should the test fail."""
        self.output += data

    async def complete(self, request: LLMRequest) -> NoReturn:
        """The self-test asks no model."""
        raise AssertionError(request)


async def failures(box: Box, worker: LocalWorker, canary: Path) -> list[str]:
    """Run the self-test on a worker of this box; returns what does not hold. `canary` is a file that must be hidden."""
    missing = [] if worker.is_in_its_cgroup() else ["its cgroup"]
    transcript = Transcript()
    settings = {
        "canary": str(canary),
        "namespaces": json.dumps(box.zygotes_namespaces),
        "limits": json.dumps(box.resource_limits),
        "uid": str(worker.uid_in_box),
    }
    outcome = await worker.run(Job(id="self-test", code=SCRIPT, timeout=TIMEOUT, settings=settings), transcript)
    if outcome.error is not None or not isinstance(outcome.result, dict):
        return [f"the self-test itself ({outcome.error}) {transcript.output.decode(errors='replace')[-500:]}"]
    found: dict[str, Any] = outcome.result
    missing += [what for what, holds in found.items() if holds is not True]
    return missing if box.landlock_version else [*missing, "Landlock (this kernel has none, or lsm= leaves it out)"]
