"""What the executions of a project could take, all together, of what a machine has only so much of.

Only what `limits:` bound, and no kernel bounds for each project: the rest is refused, or counted for each execution.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from airlock.backends import Limits

SYSCTL: Final = Path("/proc/sys")
MOST_PIDS: Final = 1 << 22  # the kernel takes no larger kernel.pid_max


def over_budget(limits: Limits) -> list[str]:
    """Say for operators which counters of this machine a project could fill by more than half."""
    executions = limits.max_replicas + limits.max_paused
    processes = executions * limits.processes
    needed = {
        "kernel.pid_max": (processes, "limits.processes"),
        "kernel.threads-max": (processes, "limits.processes"),
        "fs.file-max": (processes * limits.files, "limits.processes or limits.files"),
    }
    return [
        f"its scripts could together use {most} of {name}, which is {there}: {_raise(name, 2 * most)}"
        f"lower limits.max_replicas, limits.max_paused, {keys}"
        for name, (most, keys) in needed.items()
        if 2 * most > (there := int((SYSCTL / name.replace(".", "/")).read_text(encoding="ascii")))
    ]


def _raise(name: str, value: int) -> str:
    return "" if name == "kernel.pid_max" and value > MOST_PIDS else f"raise it with 'sysctl -w {name}={value}', or "
