"""What core itself provides, registered through the same hooks that plugins use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .mediation import Mediator
    from .store import Store


@hookimpl
def airlock_register_mediators() -> Iterable[type[Mediator[Any]]]:
    """Register the default, the agent that polls."""
    from .mediation import AgentMediator  # noqa: PLC0415 - as plugins are told to

    return [AgentMediator]


@hookimpl
def airlock_register_stores() -> Iterable[type[Store[Any]]]:
    """Register the default, which lasts as long as the process, and the one that lasts."""
    from .memory_store import MemoryStore  # noqa: PLC0415
    from .sqlite_store import SqliteStore  # noqa: PLC0415

    return [MemoryStore, SqliteStore]
