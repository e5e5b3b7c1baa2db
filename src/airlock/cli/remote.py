"""What every command starts from that talks to a server."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from airlock.client import AccessDenied, Airlock, ClientError

from .inputs import read_text
from .terminal import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

UrlOption = Annotated[str | None, typer.Option("--url", help="The server. Else: $AIRLOCK_URL, http://127.0.0.1:8000.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY|@FILE", help="API key, or @FILE that has it. Else: $AIRLOCK_API_KEY, which ps hides."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_key(key: str | None) -> str | None:
    """Return the key, from the file if one is named; or end the command."""
    return read_text(Path(key[1:])).strip() if key and key.startswith("@") else key


@contextmanager
def connected(url: str | None, key: str | None) -> Iterator[Airlock]:
    """Talk to the server; what goes wrong ends the command with one line."""
    with telling_errors(), Airlock(url, read_key(key), retry_for=10) as client:
        yield client


@contextmanager
def telling_errors() -> Iterator[None]:
    """End the command with one line when the server refuses, or cannot be reached."""
    try:
        yield
    except ValueError as error:
        fail(str(error), code=2)
    except ClientError as error:
        refused(error)


def refused(error: ClientError) -> NoReturn:
    """Say what the server refused, and what to do."""
    remedy = "; give a key with $AIRLOCK_API_KEY or --key @FILE" if isinstance(error, AccessDenied) else ""
    left = f"; execution {error.execution_id}: airlock logs shows what became of it" if error.execution_id else ""
    fail(" ".join(f"{error}{remedy}{left}".split()), code=2)


def echo_json(model: BaseModel) -> None:
    """Print a model as one line of JSON."""
    typer.echo(model.model_dump_json().encode())
