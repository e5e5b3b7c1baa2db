"""The command line: a file for each command or small group of them, and what several commands share.

Users call it; no other room does. It must not know what happens inside a sandbox.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from . import configuration, executions, keys, plugins, projects, run, serve

app = typer.Typer(
    cls=plugins.CommandsOfAll,
    help="Airlock: the gateway through which AI agents run Python safely.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # no boxes and wrapped lines, which are useless in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"airlock {version('airlock-core')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    _open_closed_streams()


def _open_closed_streams() -> None:
    """Open missing standard streams; otherwise the next file or socket gets their descriptor, and what is printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the lowest free descriptor is the missing one
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we live


app.command()(serve.serve)
app.command()(run.run)
app.command("exec")(executions.exec_)
app.command()(executions.ps)
app.command()(executions.logs)
app.command()(executions.cancel)
app.command()(projects.up)
app.command()(projects.down)
app.command()(configuration.init)
app.command()(configuration.check)
app.command()(plugins.plugins)
app.add_typer(keys.keys, name="keys")
app.command()(configuration.schema)


def main() -> None:
    """Run the command line."""
    app(prog_name="airlock")
