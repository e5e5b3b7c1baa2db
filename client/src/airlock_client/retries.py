"""When a call is tried again, and when it is given up."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from .errors import ClientError, ProblemError

if TYPE_CHECKING:
    from .replies import Reply

FIRST_PAUSE: Final = 0.1  # seconds before the first retry; then twice as long each time
MAX_PAUSE: Final = 5.0
BUSY: Final = frozenset({429, 503})  # refused before anything was done
_BAD_GATEWAY: Final = frozenset({502, 504})  # who knows


class Retries:
    """How long to wait between attempts: twice as long each time, with jitter, and not before the server says."""

    def __init__(self, retry_for: float) -> None:
        """Allow attempts for so many seconds from now on."""
        self._give_up = time.monotonic() + retry_for
        self._next = FIRST_PAUSE

    def pause_after(self, failure: ClientError) -> float:
        """Return seconds to wait. Raises `failure` when there is no time left for another attempt."""
        asked = failure.retry_after if isinstance(failure, ProblemError) else None
        pause = self._next * random.uniform(0.5, 1)  # noqa: S311 - many clients shall not come back at once
        pause, self._next = max(pause, asked or 0), min(2 * self._next, MAX_PAUSE)
        if time.monotonic() + pause > self._give_up:
            raise failure
        return pause


def is_transient(reply: Reply) -> bool:
    """Whether it may be answered another time."""
    if reply.status not in BUSY | _BAD_GATEWAY:
        return False
    failure = reply.error()
    return not (isinstance(failure, ProblemError) and failure.code == "backend_unavailable")  # the operator has to act
