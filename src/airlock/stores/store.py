"""The contract of a store, which keeps executions. A change is written here before anybody learns of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from airlock.errors import Conflict, ExecutionNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from airlock.executions import Execution, Listing, Summary


class StoreSettings(BaseModel):
    """Base of a store's own options in airlock.yaml, beside `type`. An unknown key is a configuration error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SettingsClass = type[StoreSettings]
S = TypeVar("S", bound=StoreSettings)


class Store(ABC, Generic[S]):
    """Keeps executions. `type` is the word in airlock.yaml (`store: memory`, `store: {type: sqlite, path: ...}`).

    Core makes one change of an execution at a time; different executions change concurrently. A method that raises
    StoreUnavailable has changed nothing: core tries again later, and answers new executions with 503 meanwhile.

    `get`, `find` and `page` see every write that has returned, and wait for none that is still going on.
    """

    type: ClassVar[str]
    is_durable: ClassVar[bool] = False  # True: what it accepted outlives the process
    Settings: ClassVar[SettingsClass] = StoreSettings

    def __init__(self, settings: S, directory: Path) -> None:
        """Keep the settings; no I/O. A subclass that overrides it calls this first.

        Relative paths in the settings start at `directory`.
        """
        self.settings = settings
        self.directory = directory

    @classmethod
    def check(cls, settings: S, directory: Path) -> Sequence[str]:
        """Check whether a server could open the store, without changing anything. Called by `airlock check`.

        Returns warnings about what may be different for the server, such as permissions of the user. Raises
        StoreRefused, with the remedy, when no server could open it. `open` may still find more.
        """
        return ()

    async def open(self) -> None:
        """Prepare for use. Called once, before any other method.

        Raises StoreRefused, with the remedy, when the store cannot be used or another server uses it.
        """
        return

    @abstractmethod
    async def create(self, execution: Execution) -> Execution:
        """Keep a new execution, and return it.

        If the same client has created one with the same `idempotency_key`, other than None, keep nothing and return
        that one. Raises StoreUnavailable.
        """

    @abstractmethod
    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None when there is none, or it was forgotten."""

    @abstractmethod
    async def find(self, client: str | None, idempotency_key: str) -> Execution | None:
        """Return the execution that this client created with this key, or None."""

    async def transition(self, execution_id: str, version: int, changes: Mapping[str, Any]) -> Execution:
        """Change an execution whose stored version is still `version`, and return the changed one.

        Raises Conflict when the version differs or the new status cannot follow, ExecutionNotFound when there is no
        such execution, StoreUnavailable. Override it only to do all of this in one step of the store's own.
        """
        execution = await self.get(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"execution {execution_id} is not known")
        if execution.version != version:
            raise Conflict(f"execution {execution_id} is at version {execution.version}, not {version}")
        changed = execution.changed(changes)
        await self.update(changed)
        return changed

    @abstractmethod
    async def update(self, execution: Execution) -> None:
        """Write the next version of an execution. Called by `transition`, which has compared the versions.

        A store that several servers share writes it only where `execution.version - 1` is still stored, in one step
        (`UPDATE ... WHERE id = ? AND version = ?`), and raises Conflict otherwise. Raises StoreUnavailable.
        """

    @abstractmethod
    async def page(self, listing: Listing) -> Sequence[Summary]:
        """Return the summaries of the executions that `listing` describes, in its order."""

    @abstractmethod
    async def unfinished(self) -> Sequence[Execution]:
        """Return the unfinished executions, oldest first. Called once after `open`, to resume where a server ended."""

    @abstractmethod
    async def sweep(self) -> None:
        """Forget the oldest finished executions beyond the store's limits. Called every minute."""

    async def close(self) -> None:
        """Release everything. Called once, at the end, also after an `open` that raised."""
        return
