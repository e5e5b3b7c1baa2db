"""What commands that run a script share: show its output, stop at a signal, say how it ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import typer

from airlock.models import ExecutionStatus

from .inputs import write_memory
from .terminal import err, fail, printable, say, warn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airlock.client import Result
    from airlock.executions import Execution


class Output:
    """The script's output, both streams on stderr: stdout is reserved for the result."""

    def __init__(self) -> None:
        self._last = "\n"

    def write(self, text: str) -> None:
        """Show more output."""
        self._last = text[-1]
        sys.stderr.write(printable(text) if err.is_terminal else text)
        sys.stderr.flush()

    def end_line(self) -> None:
        """Start a new line, unless at the start of one."""
        if self._last != "\n":
            self._last = "\n"
            sys.stderr.write("\n")


class Interruption:
    """Cancels the watching task at the first signal; later signals do not disturb the cleanup."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_ending = False

    def watch(self) -> None:
        """Have a signal cancel the current task."""
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if not self.is_ending:  # the cleanup must not be interrupted; it is bounded
                self.received, self.is_ending = number, True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                asyncio.get_running_loop().add_signal_handler(number, stop, number)


def report(execution: Execution | Result) -> None:
    """Say how the execution ended; end the command unless it completed."""
    if execution.truncated:
        warn("the script's output exceeded limits.output: part of it was dropped")
    if execution.error_type == "project_down":
        fail(str(execution.error), code=2)
    if execution.status is not ExecutionStatus.completed:
        fail(f"{execution.error_type}: {execution.error}", code=1)
    say(f"completed in {execution.execution_time_ms} ms", "green")


def report_result(execution: Execution | Result, memory: Path | None, remembered: Mapping[str, Any]) -> None:
    """Say how the execution ended. If it completed, print the result and save the memory."""
    report(execution)
    typer.echo(json.dumps(execution.result, ensure_ascii=False, indent=2).encode())
    if memory and execution.memory_updates:
        write_memory(memory, {**remembered, **execution.memory_updates})
