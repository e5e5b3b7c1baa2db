"""Creates instances of plugins' classes; an error names the class that failed."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airlock.errors import MakingFailed, StoreRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airlock.backends import Backend
    from airlock.llm import Mediator
    from airlock.stores import Store, StoreSettings

log = logging.getLogger(__name__)

T = TypeVar("T", bound="Backend[Any] | Mediator[Any] | Store[Any]")


def check_store(kind: type[Store[Any]], settings: StoreSettings, directory: Path) -> list[str]:
    """Return the store's warnings without making one. Raises StoreRefused when no server could open it."""
    with _refused_with_a_reason(kind, "checked"):
        return [str(warning) for warning in kind.check(settings, directory)]


async def open_store(kind: type[Store[Any]], settings: StoreSettings, directory: Path) -> Store[Any]:
    """Make and open a store. Raises StoreRefused: without its store, a server does not start."""
    with _refused_with_a_reason(kind, "opened"):
        store = make("store", kind, settings, directory)
        try:
            await store.open()
        except BaseException:
            await store.close()
            raise
    return store


@contextmanager
def _refused_with_a_reason(kind: type[Store[Any]], what: str) -> Iterator[None]:
    """Turn whatever is raised inside into a StoreRefused with a text."""
    try:
        yield
    except MakingFailed as failure:
        raise StoreRefused(str(failure)) from failure
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        if isinstance(error, StoreRefused) and str(error).strip():
            raise
        log.exception("the store %r could not be %s", kind.type, what)
        raise StoreRefused(_told("store", kind, what, error)) from error


def check_made(made: object) -> None:
    """Raise TypeError when a plugin's class did not call `super().__init__`."""
    if not hasattr(made, "settings"):
        raise TypeError(f"{type(made).__name__}.__init__ does not call super().__init__")


def make(kind: str, cls: type[T], *arguments: Any) -> T:
    """Make a backend, mediator or store. Raises MakingFailed; the log then has the traceback."""
    try:
        made = cls(*arguments)
        check_made(made)
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        log.exception("the %s %r could not be made", kind, cls.type)
        raise MakingFailed(_told(kind, cls, "made", error)) from error
    return made


def _told(kind: str, cls: type[T], what: str, error: BaseException) -> str:
    cause = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"The {kind} {cls.type!r} could not be {what} ({cause}). This is a fault of the plugin; see the log."
