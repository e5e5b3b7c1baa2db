"""Places in a YAML file, and how they are written: `airlock.yaml:7:5: projects.python.packages[0]: message`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    Location = tuple[str | int, ...]
    Problem = tuple[tuple[int, int], Location, str]


class Mark(Protocol):
    """A mark of either PyYAML loader."""

    line: int
    column: int


def position(mark: Mark) -> tuple[int, int]:
    """Return line and column, from 1."""
    return mark.line + 1, mark.column + 1


def problem(name: str, position: tuple[int, int], location: Location, message: str) -> str:
    """Write a problem with a part of the file `name`, or with all of it."""
    place = f"{name}:{position[0]}:{position[1]}"
    return f"{place}: {dotted(location)}: {message}" if location else f"{place}: {message}"


def dotted(location: Location) -> str:
    """Write a location as `projects.python.packages[0]`, safe to print whatever the keys are."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}"
    return text.removeprefix(".")


def after(name: str, before: str) -> str:
    """Name the place that follows the text `before`."""
    return f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def shown(text: str) -> str:
    """Write text of the file safely, and not all of it if it is long."""
    safe = text if text.isprintable() and text else ascii(text)
    return safe if len(safe) <= 80 else f"{safe[:77]}..."
