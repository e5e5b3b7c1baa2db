"""The contract of a store: where executions are remembered. The gateway writes every change here before it tells it."""

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
    """Remembers executions. `type` is the word in airlock.yaml (`store: memory`, `store: {type: sqlite, path: ...}`).

    Core changes one execution at a time, different ones at once. A method that raises StoreUnavailable has changed
    nothing; core asks again later, and answers new executions with 503 meanwhile.
    """

    type: ClassVar[str]
    is_durable: ClassVar[bool] = False  # True: what it took outlives the process
    Settings: ClassVar[SettingsClass] = StoreSettings

    def __init__(self, settings: S, directory: Path) -> None:
        """Remember what was configured. No I/O. Who overrides it calls this one first.

        Relative paths in the settings start at `directory`.
        """
        self.settings = settings
        self.directory = directory

    @classmethod
    def check(cls, settings: S, directory: Path) -> Sequence[str]:
        """Look whether a server could open it, and change nothing. Called by `airlock check`; no store is made then.

        Returns warnings, of what may be otherwise for the server: what this user may not write, say. Raises
        StoreRefused with the remedy when no server could open it. It need not find everything that `open` does.
        """
        return ()

    async def open(self) -> None:
        """Get ready. Called once, before anything else.

        Raises StoreRefused with the remedy when it cannot be used, also when another server uses it.
        """
        return

    @abstractmethod
    async def create(self, execution: Execution) -> Execution:
        """Remember a new execution, and return it.

        If the same client created one with the same `idempotency_key`, which is not None, return that one instead, and
        remember nothing. Raises StoreUnavailable.
        """

    @abstractmethod
    async def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None when there is none, or none any more."""

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
        """Return those that are not over, oldest first. Core asks once, after `open`, to go on where a server ended."""

    @abstractmethod
    async def sweep(self) -> None:
        """Forget the oldest of those that are over, as the store's bounds say. Called every minute."""

    async def close(self) -> None:
        """Give everything back. Called once, at the end, also after an `open` that raised."""
        return
