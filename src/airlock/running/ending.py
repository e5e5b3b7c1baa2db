"""How an execution ends: the first cause decides, and a backend's outcome is checked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airlock import strict_json
from airlock.backends import CAUSES, EXIT_CODES, MAX_ERROR, one_line, unknown_cause
from airlock.models import ExecutionStatus
from airlock.units import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airlock.backends import Limits, Outcome
    from airlock.secrets import Redactor

log = logging.getLogger(__name__)


class Ending(NamedTuple):
    """Why an execution ended, and what it leaves."""

    status: ExecutionStatus
    error_type: str | None = None
    error: str | None = None
    exit_code: int | None = None
    result: Any = None
    memory_updates: Mapping[str, Any] = {}  # a dict, as stores write it; never changed


SHUT_DOWN: Final = Ending(ExecutionStatus.error, "interrupted", "the server was shut down")
LEFT: Final = SHUT_DOWN._replace()
"""Looks the same to clients, but is another object: what never started stays pending, for the next server."""


class End:
    """The end of one execution. It is decided once: the first cause wins.

    Timers refer to this instead of the run. A reference cycle would keep an execution's megabytes in memory until the
    garbage collector visits the oldest generation, which may be never.
    """

    def __init__(self) -> None:
        self._decided: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @property
    def is_decided(self) -> bool:
        """Whether it is ending: its code is being killed, and it opens no more LLM requests."""
        return self._decided.done()

    @property
    def ending(self) -> Ending | None:
        """What was decided, or None."""
        return self._decided.result() if self._decided.done() else None

    def decide(self, ending: Ending) -> None:
        """End the execution like this, unless its end is already decided."""
        if not self._decided.done():
            self._decided.set_result(ending)

    async def first_of(self, work: asyncio.Future[Any]) -> Ending | None:
        """Wait until the work is done or the end is decided; returns the ending if there is one."""
        waiting: tuple[asyncio.Future[Any], asyncio.Future[Any]] = (work, self._decided)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return self.ending


def judge(outcome: Outcome, limits: Limits, redactor: Redactor) -> Ending:
    """Check what a backend returned, since plugins make mistakes, and redact the secrets in it.

    Raises TypeError when a value is not JSON, ValueError for a cause or an exit code that clients do not know.
    """
    if outcome.error_type is not None and outcome.error_type not in CAUSES:
        raise ValueError(unknown_cause(outcome))
    code = outcome.exit_code
    if code is not None and (type(code) is not int or code not in EXIT_CODES):
        raise ValueError(f"execute returned an Outcome with exit_code {code!r:.100}; see Outcome for what it may be")
    reported, over = _reported(outcome, limits, redactor)
    if outcome.error is not None or outcome.error_type is not None:
        ending = Ending(
            ExecutionStatus.error,
            outcome.error_type or "script_error",
            _error_line(outcome.error or "", redactor) or "the script failed",
            code,
        )
    else:
        ending = Ending(ExecutionStatus.completed, exit_code=code)
    if over is not None and ending.error_type in (None, "script_error"):
        ending = Ending(ExecutionStatus.error, "result_limit", over, code)
    return ending._replace(**reported)


def with_kept(ending: Ending, kept: Outcome | None, limits: Limits, redactor: Redactor) -> Ending:
    """Add what the backend kept of a script that did not complete. What is not JSON is dropped, and logged."""
    is_wanted = ending.error_type is not None and ending.result is None and not ending.memory_updates
    if kept is None or not is_wanted:
        return ending
    try:
        return ending._replace(**_reported(kept, limits, redactor)[0])
    except TypeError:
        log.exception("the backend called Run.keep() with what is not JSON")
        return ending


def _reported(outcome: Outcome, limits: Limits, redactor: Redactor) -> tuple[dict[str, Any], str | None]:
    """Return the fields of an ending that a script reports, redacted, but for those over the limit, and the error then.

    Raises TypeError when a value is not JSON.
    """
    updates = dict(outcome.memory_updates)
    if not all(isinstance(key, str) for key in updates):
        raise TypeError("memory_updates of the backend has keys that are not str")
    fields: dict[str, Any] = {}
    over = None
    for name, value, redact in (
        ("result", outcome.result, redactor.value),
        ("memory_updates", updates, redactor.memory),
    ):
        try:
            size = len(strict_json.dumps(value))
        except (TypeError, ValueError, RecursionError) as cause:
            raise TypeError(f"{name} of the backend is not JSON: {cause}") from cause
        if size <= limits.result:
            fields[name] = redact(value)
        else:
            over = over or f"{name} has {size} bytes as JSON; limits.result is {format_size(limits.result)}"
    return fields, over


def noted(ending: Ending, notes: Sequence[str], redactor: Redactor) -> Ending:
    """Add a backend's notes to the error of an ending, which gives way where both together are too long."""
    if ending.error is None or not notes:
        return ending
    added = _error_line("; ".join(dict.fromkeys(notes)), redactor)
    error = ending.error[: max(0, MAX_ERROR - len(added) - 2)].rstrip().removesuffix(".")
    return ending._replace(error=f"{error}; {added}")


def _error_line(error: str, redactor: Redactor) -> str:
    """Redact before making one line, which may cut a secret, and after it, which may join the parts of one."""
    return redactor.text(one_line(redactor.text(error, is_cut=len(error) >= MAX_ERROR)))
