"""How a command that ran a script says how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from airlock.models import ExecutionStatus

from .inputs import write_memory
from .terminal import fail, say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airlock.client import Result
    from airlock.executions import Execution


def report(execution: Execution | Result) -> None:
    """Say how it ended; ends the command unless it completed."""
    if execution.truncated:
        warn("the script wrote more than limits.output: some was dropped")
    if execution.error_type == "project_down":
        fail(str(execution.error), code=2)
    if execution.status is not ExecutionStatus.completed:
        fail(f"{execution.error_type}: {execution.error}", code=1)
    say(f"completed in {execution.execution_time_ms} ms", "green")


def report_result(execution: Execution | Result, memory: Path | None, remembered: Mapping[str, Any]) -> None:
    """Say how it ended; unless that ends the command, print the result, and keep what is to be remembered."""
    report(execution)
    typer.echo(json.dumps(execution.result, ensure_ascii=False, indent=2).encode())
    if memory and execution.memory_updates:
        write_memory(memory, {**remembered, **execution.memory_updates})
