"""Where every command starts: the configuration and the installed plugins."""

import os
from pathlib import Path
from typing import Annotated

import typer

from airlock.config import FILE, Config, find_config, load_config
from airlock.errors import ConfigError
from airlock.plugins import Plugins

from .terminal import refuse

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration to use; default: $AIRLOCK_CONFIG, ./airlock.yaml, or built-in defaults."
    ),
]


def load(explicit: Path | None, plugins: Plugins, *, code: int) -> Config:
    """Load the configuration, or print every problem and end the command with this exit code."""
    try:
        return load_config(find_config(explicit, os.environ), plugins, os.environ)
    except ConfigError as error:
        refuse(error, code=code)


def source(config: Config) -> str:
    """Say where a configuration comes from."""
    return str(config.path) if config.path else f"built-in defaults, without {FILE}"
