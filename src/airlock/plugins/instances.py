"""Makes what plugins define, and says in its name what fails."""

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
    """Return warnings of the store, which is not made. Raises StoreRefused when no server could open it."""
    with _refused_with_a_reason(kind, "checked"):
        return [str(warning) for warning in kind.check(settings, directory)]


async def open_store(kind: type[Store[Any]], settings: StoreSettings, directory: Path) -> Store[Any]:
    """Make a store and open it. Raises StoreRefused: without its store a server does not start."""
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
    """Raise StoreRefused, with a text, for whatever is raised inside."""
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
    """Raise TypeError when a class of a plugin has kept from its base what core gave."""
    if not hasattr(made, "settings"):
        raise TypeError(f"{type(made).__name__}.__init__ does not call super().__init__")


def make(kind: str, cls: type[T], *arguments: Any) -> T:
    """Make a backend, mediator or store. Raises MakingFailed, after the log has the traceback."""
    try:
        made = cls(*arguments)
        check_made(made)
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        log.exception("the %s %r could not be made", kind, cls.type)
        raise MakingFailed(_told(kind, cls, "made", error)) from error
    return made


def _told(kind: str, cls: type[T], what: str, error: BaseException) -> str:
    cause = f"{type(error).__name__}: {error}".rstrip(": ")
    return (
        f"The {kind} {cls.type!r} could not be {what} ({cause}). This is a mistake of its plugin; the log says where."
    )
