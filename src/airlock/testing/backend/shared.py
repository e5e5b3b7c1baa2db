"""One backend for the many tests that leave it as they found it: to bring one up may take a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airlock.backends import Backend


class SharedBackend:
    """A backend with one worker. It is made when it is asked for, and again once it was dropped."""

    def __init__(self, make: Callable[[], Backend[Any]], patience: float) -> None:
        self._make = make
        self._patience = patience
        self._made: Backend[Any] | None = None

    async def get(self) -> Backend[Any]:
        """Return it when its worker stands ready. Raises TimeoutError when none does within `patience`."""
        if self._made is None:
            self._made = self._make()
        await self._made.scale(1)
        async with asyncio.timeout(self._patience):
            while self._made.pool().idle < 1:  # noqa: ASYNC110 - a pool tells nobody
                await asyncio.sleep(0.005)
        return self._made

    async def drop(self) -> None:
        """Give back what it has, if there is one."""
        dropped, self._made = self._made, None
        if dropped is not None:
            await dropped.scale(0)
            await dropped.close()
