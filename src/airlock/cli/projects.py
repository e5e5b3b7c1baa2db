"""`airlock up` and `airlock down`: projects on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .remote import JsonOption, KeyOption, UrlOption, connected, echo_json
from .terminal import fail, out, printable

if TYPE_CHECKING:
    from airlock.client import PoolStatus

Name = Annotated[str, typer.Argument(metavar="PROJECT")]


def up(
    name: Name,
    replicas: Annotated[int, typer.Option("-n", "--replicas", min=1, help="Number of warm workers.")] = 1,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Keep a project's workers warm. Ends when they are ready, or with exit code 1 after 30 s."""
    with connected(url, key) as client:
        pool = client.up(name, replicas)
    _show(pool, as_json=as_json)
    if pool.status != "up":
        fail(f"{name}: {pool.detail or 'not up yet'}", code=1)


def down(name: Name, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """Take a project down: queued executions end, running ones get limits.shutdown_grace."""
    with connected(url, key) as client:
        pool = client.down(name)
    _show(pool, as_json=as_json)


def _show(pool: PoolStatus, *, as_json: bool) -> None:
    if as_json:
        echo_json(pool)
    else:
        out.print(printable(f"{pool.name} {pool.status} replicas {pool.replicas}"))
