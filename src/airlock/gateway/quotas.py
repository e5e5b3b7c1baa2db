"""How many executions each key may submit, and may have unfinished at once."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from airlock.errors import RateExceeded, TooManyExecutions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from limits import RateLimitItem

    from airlock.config import KeySection

CONCURRENCY_PAUSE: Final = 5  # seconds that a client is told to wait: when its next execution ends is unknown


class Quotas:
    """Counts executions per client, by the name of its key. Clients without limits or without a key always pass."""

    def __init__(self, keys: Iterable[KeySection]) -> None:
        self._concurrent = {key.name: key.concurrent for key in keys if key.concurrent is not None}
        self._held: Counter[str | None] = Counter()
        rates = {key.name: key.rate for key in keys if key.rate is not None}
        self._rates: dict[str | None, RateLimitItem] = {}
        if rates:
            from limits import parse, storage, strategies  # noqa: PLC0415 - takes 0.1 s, and few need it

            self._rates = {name: parse(rate) for name, rate in rates.items()}
            self._limiter = strategies.MovingWindowRateLimiter(storage.MemoryStorage())

    def admit(self, client: str | None) -> None:
        """Count an execution that is about to be accepted; `release` it when it has finished.

        Raises TooManyExecutions or RateExceeded when the client's quota is full.
        """
        most = self._concurrent.get(client or "")
        if most is not None and self._held[client] >= most:
            raise TooManyExecutions(
                f"key {client} has {most} unfinished executions (concurrent in server.keys)", CONCURRENCY_PAUSE
            )
        rate = self._rates.get(client)
        if rate is not None and not self._limiter.hit(rate, client or ""):
            free_at = self._limiter.get_window_stats(rate, client or "").reset_time
            raise RateExceeded(
                f"key {client} may submit {rate.amount} per {rate.GRANULARITY.name} (rate in server.keys)",
                max(1, math.ceil(free_at - time.time())),
            )
        self.hold(client)

    def hold(self, client: str | None) -> None:
        """Count an execution that was accepted before."""
        self._held[client] += 1

    def release(self, client: str | None) -> None:
        """Stop counting an execution that has finished."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
