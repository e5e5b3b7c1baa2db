"""How the commands talk: results on stdout, all else on stderr, styled on terminals only, never wrapped."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airlock.errors import ConfigError


class _StandardError(Console):
    """rich's own ends the program when a pipe has lost its reader, such as a log collector that is started again."""

    def on_broken_pipe(self) -> None:
        """Go on."""
        _forget_unwritten()


out: Final = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
err: Final = _StandardError(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)

_COLOUR_OR_CONTROL: Final = re.compile(r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Take out what would drive the terminal instead of being shown on it; colours stay."""
    return _COLOUR_OR_CONTROL.sub(lambda found: found[1] or "�", text)


def say(text: str, style: str = "") -> None:
    """Print a line for people."""
    _print(Text(printable(text), style))


def warn(text: str) -> None:
    """Print a line that deserves attention."""
    _print(Text.assemble(("warning: ", "yellow"), printable(text)))


def fail(*problems: str, code: int) -> NoReturn:
    """Print what is wrong, a line for each problem, and end the command with this exit code."""
    for problem in problems:
        _print(Text.assemble(("error: ", "bold red"), printable(problem)))
    raise typer.Exit(code)


def refuse(error: ConfigError, code: int) -> NoReturn:
    """Print every problem, its place first, as editors read it; and end the command with this exit code."""
    for problem in error.problems:
        say(problem, "red")
    raise typer.Exit(code)


def _print(text: Text) -> None:
    try:
        err.print(text)
    except OSError:  # a full disk, or a terminal that is gone, stops no server
        _forget_unwritten()


def _forget_unwritten() -> None:
    """Begin stderr anew: what is left in its buffer would fail again at the end, and make the exit code 120."""
    old = sys.stderr
    sys.stderr = open(old.fileno(), "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115 - for as long as we live


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Align the columns of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
