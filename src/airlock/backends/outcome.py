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
"""Why a script may have failed, as a backend says it in `Outcome.error_type`. All other causes are core's to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a script ended. `error` set means that it failed, `error_type` says why.

    `error_type` is one of `script_error, memory_limit, cpu_limit, result_limit, llm_limit, protocol, worker_lost`, or
    `internal` for a fault of the backend. With another one the execution ends as `internal`, and the log says so.
    `result` and the values of `memory_updates` are JSON values.
    """

    result: Any = None
    memory_updates: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None


def unknown_cause(outcome: Outcome) -> str:
    """Say that no backend may use this `error_type`, and which it may."""
    return f"execute returned an Outcome with error_type {outcome.error_type!r:.100}; it is one of: {', '.join(CAUSES)}"


def one_line(text: str) -> str:
    """Make one readable line of whatever a script said: no control characters, no line breaks, not endless."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * MAX_ERROR]).split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"
