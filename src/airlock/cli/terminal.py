"""Output of the commands: results on stdout, everything else on stderr, styled only on terminals, never wrapped."""

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
    """Survives a broken pipe, as when a log collector restarts; rich's own console would end the program."""

    def on_broken_pipe(self) -> None:
        """Continue."""
        _forget_unwritten()


out: Final = Console(soft_wrap=True, markup=False, emoji=False, highlight=False)
err: Final = _StandardError(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)

_COLOUR_OR_CONTROL: Final = re.compile(r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Replace control characters, which would affect the terminal; colours stay."""
    return _COLOUR_OR_CONTROL.sub(lambda found: found[1] or "�", text)


def say(text: str, style: str = "") -> None:
    """Print a line for people."""
    _print(Text(printable(text), style))


def warn(text: str) -> None:
    """Print a warning."""
    _print(Text.assemble(("warning: ", "yellow"), printable(text)))


def fail(*problems: str, code: int) -> NoReturn:
    """Print one line per problem, and end the command with this exit code."""
    for problem in problems:
        _print(Text.assemble(("error: ", "bold red"), printable(problem)))
    raise typer.Exit(code)


def refuse(error: ConfigError, code: int) -> NoReturn:
    """Print every problem, its place first so that editors can parse it, and end the command with this exit code."""
    for problem in error.problems:
        say(problem, "red")
    raise typer.Exit(code)


def _print(text: Text) -> None:
    try:
        err.print(text)
    except OSError:  # a full disk or a closed terminal must not stop a server
        _forget_unwritten()


def _forget_unwritten() -> None:
    """Reopen stderr: the rest of its buffer would fail again at exit, and make the exit code 120."""
    old = sys.stderr
    sys.stderr = open(old.fileno(), "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115 - open until the process ends


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Align the columns of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
