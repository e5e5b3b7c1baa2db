"""`airlock serve`."""

from typing import Annotated, Literal

import typer

from airlock.logs import formats as logs

from . import setup


def serve(
    config: setup.ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Else: server.host, or what is safe.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0: any free one. Else: server.port.")] = None,
    log_format: Annotated[
        Literal["auto", "plain", "json"] | None,
        typer.Option(help="How log lines look; auto: plain at a terminal, JSON otherwise. Else: server.log.format."),
    ] = None,
) -> None:
    """Serve the REST API until Ctrl-C or SIGTERM.

    The first signal lets what runs finish within limits.shutdown_grace, the second ends it at once.
    """
    from .serving import serve_until_stopped  # noqa: PLC0415 - the web framework takes longer to load than a run

    logs.configure(log_format or "auto")
    serve_until_stopped(config, host, port, log_format)
