"""The record of one live execution, and what waits for its changes."""

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
    """Passes every change to the store, then to `execution`, then to what waits for it. It has one writer at a time.

    Output and times change all the time: only some changes store them, but every `snapshot` shows them.
    """

    def __init__(
        self, execution: Execution, store: Store[Any], outputs: Outputs, clock: RunClock, patience: Patience
    ) -> None:
        self.execution = execution
        self.weight = _weight_of(execution)  # about how many bytes of memory the client's request takes
        self.changing = asyncio.Lock()  # held from the check that decides a change until the change is made
        self.trouble: str | None = None  # why the store fails the change that is being retried
        self._store = store
        self._outputs = outputs
        self._clock = clock
        self._patience = patience
        self._changed: asyncio.Event | None = None  # made on demand: most executions need none while pending
        self._listening: set[asyncio.Event] = set()
        self._is_left = False

    def progress(self) -> dict[str, Any]:
        """Return the output and times so far, by field of the record."""
        return {**self._outputs.fields(), **self._clock.times()}

    def snapshot(self) -> Execution:
        """Return the record with its progress."""
        return self.execution if self.execution.status.is_terminal else replace(self.execution, **self.progress())

    async def change(self, *, insist: bool = True, **changes: Any) -> None:
        """Store a change, then show it; `changing` is held. A missing status follows from the open LLM requests.

        While the store cannot write, this retries, unless it should not `insist` or the record is left. A cancellation
        takes effect only after the change; otherwise the record would lag behind the store.

        Raises Conflict when the status cannot follow the current one, StoreUnavailable when it does not retry.
        """
        if "status" not in changes:
            is_awaiting = bool(changes["llm_requests"])
            changes["status"] = ExecutionStatus.awaiting_llm if is_awaiting else ExecutionStatus.running
        storing = asyncio.ensure_future(self._stored(changes, insist=insist))
        try:
            self.execution = await asyncio.shield(storing)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreUnavailable):  # nothing has changed
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
                    log.warning("execution %s: %s; retrying until it succeeds", *told, exc_info=is_mistake)
                    self.trouble = "the store failed, and the server's log says why" if is_mistake else str(error)
                    self._wake()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._next_change(), next(pause))  # the only change can be that it is left

    def check_stored(self) -> None:
        """Raise StoreUnavailable while a change cannot be stored: every later one has to wait for it."""
        if self.trouble is not None:
            raise StoreUnavailable(f"{self.trouble}; an earlier change of this execution is still waiting to be stored")

    @contextlib.asynccontextmanager
    async def changing_soon(self) -> AsyncIterator[None]:
        """Hold `changing` for a client that can retry. Raises StoreUnavailable when an earlier change is late."""
        self.check_stored()
        try:
            async with asyncio.timeout(self._patience.change):
                await self.changing.acquire()
        except TimeoutError:
            self.check_stored()
            late = f"an earlier change could not be stored within {self._patience.change:g} s"
            raise StoreUnavailable(late) from None
        try:
            yield
        finally:
            self.changing.release()

    async def ended_soon(self) -> None:
        """Wait for the end, which is decided, as long as a client's change waits for an earlier one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.change):
                await self.until(lambda execution: execution.status.is_terminal)

    def leave(self) -> None:
        """Release everything that waits: nothing will change while this server runs."""
        self._is_left = True
        self._wake()

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more while this server runs."""
        return self._is_left or self.execution.status.is_terminal

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        self.wake_readers()

    def wake_readers(self) -> None:
        """Wake what waits for output, which comes thousands of times a second and does not change the record."""
        for heard in self._listening:
            heard.set()

    async def news(self) -> None:
        """Wait for the next output or change."""
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
