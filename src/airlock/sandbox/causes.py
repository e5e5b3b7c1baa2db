"""The true cause of a death that looks like any other: what a sandbox's exit code and its cgroup are proof of."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from airlock.backends import Outcome
from airlock.units import format_size
from airlock.worker.one_script import CPU_SLACK

if TYPE_CHECKING:
    from airlock.backends import Limits


def may_be_wrong(outcome: Outcome) -> bool:
    """Whether a limit of the sandbox may be behind this outcome."""
    return outcome.error is not None and outcome.error_type in ("script_error", "worker_lost", "protocol")


def over_memory(limits: Limits) -> Outcome:
    """Say that memory was the cause."""
    limit = format_size(limits.memory)
    return Outcome(error=f"the script used more than its memory (limits.memory is {limit})", error_type="memory_limit")


def over_cpu_time(exit_code: int | None, used: float, timeout: int, cores: int) -> Outcome | None:
    """Say that CPU time was the cause, if it was. The script's processes `used` at most so many CPU seconds."""
    most = timeout * cores + CPU_SLACK
    is_possible = used >= most - 1  # otherwise it sent the signal to itself
    if exit_code in (-signal.SIGXCPU, -signal.SIGKILL) and is_possible:
        return Outcome(
            error=f"the script used more CPU time than its timeout of {timeout} s allows (limits.timeout)",
            error_type="cpu_limit",
        )
    return None
