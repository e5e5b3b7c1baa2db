"""Catches code that touches the world where it must not."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVENTS = ("open", "os.", "shutil.", "socket.", "subprocess.", "tempfile.")
_seen: ContextVar[list[str] | None] = ContextVar("_seen", default=None)
_is_hooked = False


@contextmanager
def io_seen() -> Iterator[list[str]]:
    """Note every file, process and socket that the block touches. Import beforehand what it needs."""
    global _is_hooked  # noqa: PLW0603 - an audit hook cannot be removed again, so there is one at most
    if not _is_hooked:
        sys.addaudithook(_note)
        _is_hooked = True
    seen: list[str] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    seen = _seen.get()
    if seen is not None and event.startswith(_EVENTS):
        seen.append(f"{event}{arguments!r:.200}")
