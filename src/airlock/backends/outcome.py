"""How a script ended, as a backend reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ERROR: Final = 2_000  # characters
CAUSES: Final = (
    *("script_error", "memory_limit", "cpu_limit", "result_limit", "llm_limit"),
    *("protocol", "worker_lost", "internal"),
)
"""The causes that a backend may report in `Outcome.error_type`. Core determines all others."""
EXIT_CODES: Final = range(-64, 256)
"""The exit codes that there are. Negative: ended by that signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a script ended. If `error` is set, it failed, and `error_type` says why.

    `error_type` is one of `script_error, memory_limit, cpu_limit, result_limit, llm_limit, protocol, worker_lost`, or
    `internal` for a fault of the backend. With any other, the execution ends as `internal`, and the log says so.
    `result` and the values of `memory_updates` are JSON values.
    `exit_code` is that of the script's process: 0 to 255, or -N for signal N (up to 64). It is None if the sandbox
    ended the script, or does not know.
    """

    result: Any = None
    memory_updates: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None
    exit_code: int | None = None


def unknown_cause(outcome: Outcome) -> str:
    """Say that a backend may not use this `error_type`, and which it may."""
    return f"execute returned an Outcome with error_type {outcome.error_type!r:.100}; it is one of: {', '.join(CAUSES)}"


def one_line(text: str) -> str:
    """Turn a script's text into one readable line of limited length, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * MAX_ERROR]).split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"
