"""One backend for the many tests that leave it unchanged: starting one may take a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Backend


class SharedBackend:
    """A backend with one worker. It is created on demand, and again after it was dropped."""

    def __init__(self, make: Callable[[], Backend[Any]], patience: float) -> None:
        self._make = make
        self._patience = patience
        self._made: Backend[Any] | None = None

    async def get(self) -> Backend[Any]:
        """Return the backend once its worker is ready. Raises TimeoutError if none is within `patience`."""
        if self._made is None:
            self._made = self._make()
        await self._made.scale(1)
        async with asyncio.timeout(self._patience):
            while self._made.pool().idle < 1:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.005)
        return self._made

    async def drop(self) -> None:
        """Close the backend, if there is one."""
        dropped, self._made = self._made, None
        if dropped is not None:
            await dropped.scale(0)
            await dropped.close()
