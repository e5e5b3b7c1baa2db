"""The part of `airlock.sandbox.self_test` that only a box can be asked: its namespaces, and what is hidden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from airlock.sandbox import self_test
from airlock.worker.layers import HIDDEN

if TYPE_CHECKING:
    from pathlib import Path

    from .box import Box
    from .standby import LocalWorker

OWN: Final = """{
    **{
        f"its own {name} namespace": os.readlink(f"/proc/self/ns/{name}") != zygotes
        for name, zygotes in json.loads(settings.get("namespaces")).items()
    },
    "its own uid": open("/proc/self/uid_map").read().split() == ["1000", settings.get("uid"), "1"],
    "no host files": not os.path.exists(settings.get("canary")),
    "an /etc of its own": (etc := json.loads(settings.get("etc"))).keys() == {*os.listdir("/etc")}
        and all(text is None or open(f"/etc/{name}").read() == text for name, text in etc.items()),
    "no files of the host's in /proc": all(map(is_empty, json.loads(settings.get("hidden")))),
    "no environment of the server":  # as the zygote got it: modules of `preload` may have set more
        {line.partition("=")[0] for line in
            (open("/proc/self/environ").read() if os.access("/proc/self/environ", os.R_OK) else "").split("\\0")
            if line}
        <= {*json.loads(settings.get("environment"))} and settings.get("canary") not in str(os.environ),
}"""


async def failures(box: Box, worker: LocalWorker, canary: Path) -> list[str]:
    """Run the self-test on a worker of this box; returns what does not hold. `canary` is a file that must be hidden."""
    missing = [] if worker.is_in_its_cgroup() else ["its cgroup"]
    settings = {
        "canary": str(canary),
        "environment": json.dumps([*box.environment]),
        "etc": json.dumps(box.etc),
        "hidden": json.dumps([f"/proc/{name}" for name in HIDDEN]),
        "namespaces": json.dumps(box.zygotes_namespaces),
        "uid": str(worker.uid_in_box),
    }
    missing += await self_test(worker, box.resource_limits, OWN, settings)
    return missing if box.landlock_version else [*missing, "Landlock (this kernel has none, or lsm= leaves it out)"]
