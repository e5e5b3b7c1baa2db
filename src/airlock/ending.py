"""How an execution ends: what a backend's outcome comes to once it was checked, and who is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from . import strict_json
from .backend import CAUSES
from .events import tell
from .frames import MAX_ERROR, one_line
from .limits import format_size
from .models import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .backend import Outcome
    from .executions import Execution
    from .limits import Limits
    from .plugins import Plugins
    from .redaction import Redactor

log = logging.getLogger(__name__)


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


def announce(execution: Execution, plugins: Plugins, request_id: str | None) -> None:
    """Tell the log and the observers that an execution is over. `request_id` is that of its `POST /execute`."""
    tell(
        log,
        "execution finished",
        execution_id=execution.id,
        request_id=request_id,
        project=execution.project,
        client=execution.client,
        status=execution.status.value,
        error_type=execution.error_type,
        run_ms=execution.run_ms,
    )
    plugins.execution_finished(execution.project, execution.to_result())


def unknown_cause(outcome: Outcome) -> str:
    """Say that no backend may use this `error_type`, and which it may."""
    return f"execute returned an Outcome with error_type {outcome.error_type!r:.100}; it is one of: {', '.join(CAUSES)}"


def _error_line(error: str, redactor: Redactor) -> str:
    """Redact before the line is made, which may cut a secret, and after it, which may join the parts of one."""
    return redactor.text(one_line(redactor.text(error, is_cut=len(error) >= MAX_ERROR)))
