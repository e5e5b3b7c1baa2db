"""`GET /executions`: the cursor that leads from one page to the next."""

from __future__ import annotations

import base64
import binascii
import math

from airlock.errors import InvalidRequest
from airlock.executions import Position


def cursor_of(position: Position) -> str:
    """Return the text that stands for a position; clients need not understand it."""
    return base64.urlsafe_b64encode(f"{position.created_at!r} {position.id}".encode()).decode().rstrip("=")


def position_of(cursor: str) -> Position:
    """Return what a cursor stands for. Raises InvalidRequest when it is none."""
    try:
        created_at, _, execution_id = (
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode().partition(" ")
        )
        position = Position(float(created_at), execution_id)
    except (binascii.Error, ValueError):
        position = Position(math.nan, "")
    if not math.isfinite(position.created_at) or not position.id:
        raise InvalidRequest(("query", "cursor"), "not a cursor; send `next_cursor` of the page before")
    return position
