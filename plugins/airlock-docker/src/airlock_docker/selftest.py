"""The part of `airlock.sandbox.self_test` that only a container can be asked."""

from __future__ import annotations

import json
import resource
from typing import TYPE_CHECKING, Final

from airlock.sandbox import TERMINALS, self_test

from . import hardening

if TYPE_CHECKING:
    from airlock import Limits

    from .worker import DockerWorker

OWN: Final = """{
    "its own uid and gid": {*os.getresuid(), *os.getresgid()} == {int(settings.get("uid"))}
        and set(os.getgroups()) <= {os.getgid()},
    "a supervisor that cannot be read": refused(lambda: os.listdir("/proc/1/fd"))
        and refused(lambda: open("/proc/1/mem", "rb")),
    "a small /tmp": os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize <= int(settings.get("scratch")),
    "nothing of the host's in /proc": all(map(is_empty, json.loads(settings.get("masked")))),
    "a /sys of its own": {
        mount.split()[2] for mount in open("/proc/self/mounts") if (mount.split()[1] + "/").startswith("/sys/")
    } == {"tmpfs"},
    "few terminals": sum(not refused(lambda: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)) for _ in range(50))
        <= int(settings.get("terminals")),
    "no Docker socket": not os.path.exists("/var/run/docker.sock"),
}"""


ONLY_LINUX: Final = (
    "Landlock",
    "a supervisor that cannot be read",
    "nothing of the host's in /proc",
    "a /sys of its own",
    "few terminals",
)


async def failures(worker: DockerWorker, limits: Limits) -> list[str]:
    """Run the self-test on this worker; returns what does not hold.

    Where there is no Landlock, the kernel may be gVisor's: that has no message queues, does not keep the supervisor
    from being read, and shows a /proc and a /sys of its own. Nothing else is needed: the server believes a supervisor
    no more than a script.
    """
    bounds = {
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_FSIZE: limits.file_size,
        resource.RLIMIT_CORE: 0,
    }
    if worker.landlock_version:
        bounds[resource.RLIMIT_MSGQUEUE] = 0  # which Docker itself does not limit
    settings = {
        "scratch": str(limits.scratch),
        "uid": str(worker.uid),
        "masked": json.dumps(hardening.MASKED),
        "terminals": str(TERMINALS),
    }
    missing = await self_test(worker, bounds, OWN, settings)
    return missing if worker.landlock_version else [what for what in missing if what not in ONLY_LINUX]
