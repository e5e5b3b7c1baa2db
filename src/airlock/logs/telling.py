"""What the log says of executions, projects and requests: one line per event, with fields that programs can read."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("airlock_request_id", default=None)
"""The id of the request that is served, or that made something go on in the background."""


def tell(log: logging.Logger, event: str, text: str = "", *, level: int = logging.INFO, **fields: object) -> None:
    """Log an event. `text` says it to people where the fields would not; a field that is None is left out.

    The field `request_id` is that of the present request unless it is given. Give it where a callback leads, from a
    sandbox, say: what calls back may have been set up in the course of another request.

    Fields may hold what clients and scripts sent: `logs.py` keeps it on the line.
    """
    if log.isEnabledFor(level):
        fields.setdefault("request_id", REQUEST_ID.get())
        known = {name: value for name, value in fields.items() if value is not None}
        log.log(level, "%s", text or event, extra={"event": event, "text": text, "fields": known}, stacklevel=2)
