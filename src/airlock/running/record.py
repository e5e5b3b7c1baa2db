"""The record of one live execution, and those who wait for news of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airlock import strict_json
from airlock.backoff import pauses
from airlock.errors import Conflict, StoreUnavailable
from airlock.models import ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airlock.executions import Execution
    from airlock.stores import Store

    from .clock import RunClock
    from .output import Outputs
    from .patience import Patience

log = logging.getLogger(__name__)


class LiveRecord:
    """Every change goes to the store, then to `execution`, then to those who wait. It has one writer at a time.

    What changes all the time, output and times, is stored with some changes only, and shown with each look.
    """

    def __init__(
        self, execution: Execution, store: Store[Any], outputs: Outputs, clock: RunClock, patience: Patience
    ) -> None:
        self.execution = execution
        self.weight = _weight_of(execution)  # about how many bytes of memory hold what the client sent
        self.changing = asyncio.Lock()  # held from the look that decides a change until the change is made
        self.trouble: str | None = None  # why the store cannot take the change that it is asked for again and again
        self._store = store
        self._outputs = outputs
        self._clock = clock
        self._patience = patience
        self._changed: asyncio.Event | None = None  # of most that are pending nobody waits for a change
        self._listening: set[asyncio.Event] = set()
        self._is_left = False

    def progress(self) -> dict[str, Any]:
        """Return output and times up to now, as the record has them."""
        return {**self._outputs.fields(), **self._clock.times()}

    def snapshot(self) -> Execution:
        """Return the record, with its progress."""
        return self.execution if self.execution.status.is_terminal else replace(self.execution, **self.progress())

    async def change(self, *, insist: bool = True, **changes: Any) -> None:
        """Store a change and show it, with `changing` held. Without a status, it follows from the open LLM requests.

        While the store cannot write, it waits, unless it shall not `insist` or is left. Who is cancelled meanwhile is
        so only after the change: else the record would be behind what is stored.

        Raises Conflict when the status cannot follow, StoreUnavailable when it does not wait.
        """
        if "status" not in changes:
            is_awaiting = bool(changes["llm_requests"])
            changes["status"] = ExecutionStatus.awaiting_llm if is_awaiting else ExecutionStatus.running
        storing = asyncio.ensure_future(self._stored(changes, insist=insist))
        try:
            self.execution = await asyncio.shield(storing)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreUnavailable):  # nothing is changed, so nobody need know
                self.execution = await storing
            raise
        finally:
            self.trouble = None
            self._wake()

    async def _stored(self, changes: dict[str, Any], *, insist: bool) -> Execution:
        while True:
            try:
                return await self._store.transition(self.execution.id, self.execution.version, changes)
            except Conflict:
                raise
            except Exception as error:  # the boundary to a plugin: whatever it raises, the execution gets its end
                if not insist or self._is_left:
                    raise
                if self.trouble is None:
                    pause = pauses(self._patience.store_first_retry, self._patience.store_last_retry)
                    is_mistake = not isinstance(error, StoreUnavailable)
                    told = (self.execution.id, error)
                    log.warning("execution %s: %s; asking again until it can be", *told, exc_info=is_mistake)
                    self.trouble = "the store failed, and the server's log says why" if is_mistake else str(error)
                    self._wake()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._next_change(), next(pause))  # which can only be that it is left

    def check_stored(self) -> None:
        """Raise StoreUnavailable while a change cannot be stored: whatever else is asked for has to wait for it."""
        if self.trouble is not None:
            raise StoreUnavailable(f"{self.trouble}; what happened to this execution before waits to be stored")

    @contextlib.asynccontextmanager
    async def changing_soon(self) -> AsyncIterator[None]:
        """Hold `changing`, for a client that can ask again. Raises StoreUnavailable when a change before it is late."""
        self.check_stored()
        try:
            async with asyncio.timeout(self._patience.change):
                await self.changing.acquire()
        except TimeoutError:
            self.check_stored()
            late = f"the store has not taken a change before within {self._patience.change:g} s"
            raise StoreUnavailable(late) from None
        try:
            yield
        finally:
            self.changing.release()

    def leave(self) -> None:
        """Let those go who wait: nothing will change as long as this server runs."""
        self._is_left = True
        self._wake()

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more, as long as this server runs."""
        return self._is_left or self.execution.status.is_terminal

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        self.wake_readers()

    def wake_readers(self) -> None:
        """Wake those who wait for output too. It comes thousands of times a second, and is no change of the record."""
        for heard in self._listening:
            heard.set()

    async def news(self) -> None:
        """Wait for output or a change, from now on."""
        heard = asyncio.Event()
        self._listening.add(heard)
        try:
            await heard.wait()
        finally:
            self._listening.remove(heard)

    async def until(self, holds: Callable[[Execution], bool]) -> None:
        """Wait until this holds, or nothing can change any more."""
        while not (self._is_left or holds(self.execution)):
            await self._next_change()

    async def _next_change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()


def _weight_of(execution: Execution) -> int:
    texts = (execution.code, *execution.settings, *execution.settings.values())
    return sum(map(sys.getsizeof, texts)) + (len(strict_json.dumps(execution.memory)) if execution.memory else 0)
