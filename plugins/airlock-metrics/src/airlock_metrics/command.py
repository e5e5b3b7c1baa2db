"""`airlock metrics`: prints `GET /metrics` of a server."""

from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

app = typer.Typer(name="metrics")

HINTS: Final = {
    401: "; give a key with $AIRLOCK_API_KEY or --key @FILE",
    404: "; airlock-metrics is not installed there, or this is not an Airlock server",
}


@app.command()
def metrics(
    url: Annotated[
        str,
        typer.Option(
            envvar="AIRLOCK_URL",
            show_envvar=False,
            show_default=False,
            help="The server; default: $AIRLOCK_URL or http://127.0.0.1:8000.",
        ),
    ] = "http://127.0.0.1:8000",
    key: Annotated[
        str,
        typer.Option(
            envvar="AIRLOCK_API_KEY",
            show_envvar=False,
            show_default=False,
            metavar="KEY|@FILE",
            help="API key, or @FILE that contains it; default: $AIRLOCK_API_KEY, which ps does not show.",
        ),
    ] = "",
) -> None:
    """Print the metrics of a server in Prometheus's text format."""
    import httpx  # noqa: PLC0415 - servers load this module too, to register the command

    try:
        key = Path(key[1:]).read_text(encoding="utf-8").strip() if key.startswith("@") else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        response = httpx.get(f"{url.rstrip('/')}/metrics", headers=headers, timeout=30)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        _fail(f"{url}: {error}")
    if not response.is_success:
        _fail(f"{url}: {response.status_code} {response.reason_phrase}{HINTS.get(response.status_code, '')}")
    text = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in response.text)
    typer.echo(text, nl=False)  # it contains no control characters


def _fail(problem: str) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(2)
