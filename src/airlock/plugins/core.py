"""What core itself provides, registered through the same hooks that plugins use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airlock.llm import Mediator
    from airlock.stores import Store


@hookimpl
def airlock_register_mediators() -> Iterable[type[Mediator[Any]]]:
    """Register the default: the agent that polls answers."""
    from airlock.llm import AgentMediator  # noqa: PLC0415 - as plugins should do

    return [AgentMediator]


@hookimpl
def airlock_register_stores() -> Iterable[type[Store[Any]]]:
    """Register the default, which lasts as long as the process, and the durable one."""
    from airlock.stores import MemoryStore, SqliteStore  # noqa: PLC0415

    return [MemoryStore, SqliteStore]
