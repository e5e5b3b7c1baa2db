"""What the executions of all projects could take, together, of what a machine has only so much of.

Only what `limits:` bound, and no kernel bounds for all of them: the rest is refused, or counted for each execution.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from airlock.backends import TERMINALS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airlock.backends import Limits

SYSCTL: Final = Path("/proc/sys")
MOST_PIDS: Final = 1 << 22  # the kernel takes no larger kernel.pid_max
PTY: Final = "kernel.pty.max"
EXECUTIONS: Final = "limits.max_replicas, limits.max_paused"
KEYS: Final = {
    "kernel.pid_max": f"{EXECUTIONS}, limits.processes",
    "kernel.threads-max": f"{EXECUTIONS}, limits.processes",
    "fs.file-max": f"{EXECUTIONS}, limits.processes or limits.files",
    PTY: EXECUTIONS,
}
"""What operators can lower, by counter."""


def over_budget(projects: Iterable[Limits]) -> list[str]:
    """Say for operators which counters of this machine several projects could fill by more than half.

    One alone does not, but for terminals: a backend holds each of its projects to half.
    """
    projects = list(projects)
    return [
        message
        for name, keys in KEYS.items()
        if (message := _over_half(name, keys, [_most(name, limits) for limits in projects])) is not None
    ]


def _most(name: str, limits: Limits) -> int:
    executions = limits.max_replicas + limits.max_paused
    if name == PTY:
        return executions * TERMINALS
    processes = executions * limits.processes
    return processes * limits.files if name == "fs.file-max" else processes


def _over_half(name: str, keys: str, needed: list[int]) -> str | None:
    there = int((SYSCTL / name.replace(".", "/")).read_text(encoding="ascii"))
    if 2 * sum(most if name == PTY else min(most, there // 2) for most in needed) <= there:
        return None
    most = sum(needed)
    raise_it = f"raise it with 'sysctl -w {name}={2 * most}', or "
    if name == "kernel.pid_max" and 2 * most > MOST_PIDS:
        raise_it = ""
    return f"scripts could together use {most} of {name}, which is {there}: {raise_it}lower {keys}"
