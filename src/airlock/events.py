"""What the log says of executions, projects and requests: one line per event, with fields that programs can read."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("airlock_request_id", default=None)
"""The id of the request in whose course something happens; executions and scalings keep that of who asked for them."""


def tell(log: logging.Logger, event: str, text: str = "", *, level: int = logging.INFO, **fields: object) -> None:
    """Log an event. `text` says it to people where the fields would not; a field that is None is left out.

    Fields may hold what clients and scripts sent: `logs.py` keeps it on the line.
    """
    if log.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        log.log(level, "%s", text or event, extra={"event": event, "text": text, "fields": known}, stacklevel=2)
