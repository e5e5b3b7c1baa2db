"""`airlock keys new`: a key for a client."""

from typing import Annotated, Final

import typer

from airlock.config import check_name
from airlock.gateway import new_key, sha256

from .terminal import fail, say

LINES: Final = """\
server:
  keys:
    - name: "{name}"
      sha256: "{sha256}"
      # projects: [python]      # that the key may use; default: all
      # rate: 60/minute         # executions that it may submit; default: no limit
      # concurrent: 10          # unfinished executions at once; default: no limit
"""

keys = typer.Typer(help="API keys for clients.", no_args_is_help=True)


@keys.callback()
def _keys() -> None: ...


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="Who the key is for; only the same key sees its executions.")],
) -> None:
    """Make a key. It is shown once, on stdout; the lines for airlock.yaml, with its hash, go to stderr."""
    try:
        check_name(name)
    except ValueError as error:
        fail(f"{name}: {error}", code=2)
    key = new_key()
    say("This is the key; it is not stored and cannot be shown again:")
    typer.echo(key)
    say("Add this to airlock.yaml, and restart the server:")
    say(LINES.format(name=name, sha256=sha256(key)))
