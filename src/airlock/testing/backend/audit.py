"""Detects I/O where there must be none."""

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
    """Record every file, process and socket that the block uses. Import what it needs beforehand."""
    global _is_hooked  # noqa: PLW0603 - an audit hook cannot be removed, so there is at most one
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
