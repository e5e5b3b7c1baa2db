"""`airlock plugins`, and the commands that plugins add."""

from functools import cached_property
from typing import Any

import typer
import typer.core
import typer.main

from airlock.plugins import COMMAND, KINDS, Plugin, Plugins, described

from .terminal import columns, fail, out, printable, warn


def plugins() -> None:
    """Show which plugins are installed, what each one offers, and what is broken and why."""
    found = Plugins.discover()
    for line in columns([[str(plugin.source), _offer(plugin)] for plugin in found.sources]):
        out.print(printable(line))
    if found.broken:
        fail(*map(str, found.broken), code=1)


def _offer(plugin: Plugin) -> str:
    named = {f"{kind.name}s": plugin.offers[kind.name] for kind in KINDS}
    named |= {"projects": plugin.projects, "observes": dict.fromkeys(plugin.observes)}
    offers = [f"{label}: {', '.join(names)}" for label, names in named.items() if names]
    return "; ".join([*offers, *(["routes"] if plugin.extends_app else [])]) or "nothing"


class CommandsOfAll(typer.core.TyperGroup):
    """Core's commands and those of plugins, which are loaded only for `--help` and for a word that is not core's.

    So no plugin can slow down or break a command of core. Broken plugins are reported with the list of commands, and
    with the error about an unknown one.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, core's first."""
        return [*super().list_commands(ctx), *sorted(self._of_plugins)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command with this name, or None."""
        return super().get_command(ctx, cmd_name) or self._of_plugins.get(cmd_name)

    @cached_property
    def _of_plugins(self) -> dict[str, Any]:
        found, commands = Plugins.discover(), {}
        for word, by in found.of(COMMAND).items():
            try:
                commands[word] = _made(word, by.value)
            except Exception as error:  # noqa: BLE001 - the boundary to a plugin: the other commands work
                found.report(by.source, f"its command {word!r} cannot be made: {described(error)}")
        for broken in found.broken:
            warn(f"plugin {broken}")
        return commands


def _made(word: str, app: typer.Typer) -> Any:
    app._add_completion, app.rich_markup_mode = False, None  # as in core's app, which it is a part of
    command = typer.main.get_command(app)
    command.name = word
    return command
