"""When a call is retried, and when to give up."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from .errors import ClientError, ProblemError

if TYPE_CHECKING:
    from .replies import Reply

FIRST_PAUSE: Final = 0.1  # seconds before the first retry; then twice as long each time
MAX_PAUSE: Final = 5.0
BUSY: Final = frozenset({429, 503})  # refused before it had any effect
_BAD_GATEWAY: Final = frozenset({502, 504})  # may have had an effect


class Retries:
    """How long to wait between attempts: twice as long each time, with jitter, and not less than the server asks."""

    def __init__(self, retry_for: float) -> None:
        """Allow attempts for `retry_for` seconds from now."""
        self._give_up = time.monotonic() + retry_for
        self._next = FIRST_PAUSE

    def pause_after(self, failure: ClientError) -> float:
        """Return seconds to wait. Raises `failure` if there is no time left for another attempt."""
        asked = failure.retry_after if isinstance(failure, ProblemError) else None
        pause = self._next * random.uniform(0.5, 1)  # noqa: S311 - spreads the retries of many clients
        pause, self._next = max(pause, asked or 0), min(2 * self._next, MAX_PAUSE)
        if time.monotonic() + pause > self._give_up:
            raise failure
        return pause


def is_transient(reply: Reply) -> bool:
    """Whether a retry may succeed."""
    if reply.status not in BUSY | _BAD_GATEWAY:
        return False
    failure = reply.error()
    return not (isinstance(failure, ProblemError) and failure.code == "backend_unavailable")  # the operator has to act
