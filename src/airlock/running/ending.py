"""How an execution ends: what a backend's outcome comes to once it was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airlock import strict_json
from airlock.backends import CAUSES, MAX_ERROR, one_line, unknown_cause
from airlock.models import ExecutionStatus
from airlock.units import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.backends import Limits, Outcome
    from airlock.secrets import Redactor


class Ending(NamedTuple):
    """Why an execution is over, and what it leaves."""

    status: ExecutionStatus
    error_type: str | None = None
    error: str | None = None
    result: Any = None
    memory_updates: Mapping[str, Any] = {}  # a dict, as stores write it; nobody changes it


def judge(outcome: Outcome, limits: Limits, redactor: Redactor) -> Ending:
    """Check what a backend says: a plugin's word is not proof that it is JSON. Secrets are taken out of it.

    Raises TypeError when it is not, ValueError for a cause that clients do not know.
    """
    if outcome.error_type is not None and outcome.error_type not in CAUSES:
        raise ValueError(unknown_cause(outcome))
    if outcome.error is not None or outcome.error_type is not None:
        ending = Ending(
            ExecutionStatus.error,
            outcome.error_type or "script_error",
            _error_line(outcome.error or "", redactor) or "the script failed",
        )
        if ending.error_type != "script_error":
            return ending
    else:
        ending = Ending(ExecutionStatus.completed)
    if not all(isinstance(key, str) for key in outcome.memory_updates):
        raise TypeError("execute returned memory_updates with keys that are not str")
    for name, value in (("result", outcome.result), ("memory_updates", dict(outcome.memory_updates))):
        try:
            size = len(strict_json.dumps(value))
        except (TypeError, ValueError, RecursionError) as cause:
            raise TypeError(f"execute returned an Outcome whose {name} is not JSON: {cause}") from cause
        if size > limits.result:
            limit = format_size(limits.result)
            error = f"{name} has {size} bytes as JSON; limits.result is {limit}"
            return Ending(ExecutionStatus.error, "result_limit", error)
    return ending._replace(
        result=redactor.value(outcome.result), memory_updates=redactor.memory(dict(outcome.memory_updates))
    )


def _error_line(error: str, redactor: Redactor) -> str:
    """Redact before the line is made, which may cut a secret, and after it, which may join the parts of one."""
    return redactor.text(one_line(redactor.text(error, is_cut=len(error) >= MAX_ERROR)))
