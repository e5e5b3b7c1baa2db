"""What commands that talk to a server share, and how they run a script there."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from airlock.client import AccessDenied, Airlock, AsyncAirlock, ClientError

from .answers import NoAnswer
from .following import Interruption, Output
from .inputs import read_text
from .terminal import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from airlock.client import OpenLLMRequest, Result

    from .answers import Answer

UrlOption = Annotated[
    str | None, typer.Option("--url", help="The server; default: $AIRLOCK_URL or http://127.0.0.1:8000.")
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY|@FILE",
        help="API key, or @FILE that contains it; default: $AIRLOCK_API_KEY, which ps does not show.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_key(key: str | None) -> str | None:
    """Return the key, from its file if one is given; or end the command."""
    return read_text(Path(key[1:])).strip() if key and key.startswith("@") else key


@contextmanager
def connected(url: str | None, key: str | None) -> Iterator[Airlock]:
    """Connect to the server; an error ends the command with one line."""
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
    """End the command, saying what the server refused and what to do."""
    remedy = "; give a key with $AIRLOCK_API_KEY or --key @FILE" if isinstance(error, AccessDenied) else ""
    left = f"; execution {error.execution_id}: 'airlock logs' shows what happened to it" if error.execution_id else ""
    fail(" ".join(f"{error}{remedy}{left}".split()), code=2)


def echo_json(model: BaseModel) -> None:
    """Print a model as one line of JSON."""
    typer.echo(model.model_dump_json().encode())


def run_there(url: str | None, key: str | None, answer: Answer, *, project: str | None, **given: Any) -> Result:
    """Return the finished execution, or end the command. An interruption cancels the execution."""
    output, interruption = Output(), Interruption()
    no_answer: list[NoAnswer] = []

    async def main() -> Result:
        interruption.watch()
        task = asyncio.current_task()
        assert task is not None
        one_at_a_time = asyncio.Lock()

        async def llm(request: OpenLLMRequest) -> str:
            async with one_at_a_time:
                output.end_line()
                try:
                    return await answer(request)
                except NoAnswer as error:
                    no_answer.append(error)
                    task.cancel()
                    return await asyncio.Future()  # until this task is cancelled too

        async with AsyncAirlock(url, read_key(key), retry_for=10) as client:
            chosen = project or await _only_project(client)
            result = await client.run(
                project=chosen, llm=llm, on_output=lambda stream, text: output.write(text), **given
            )
            interruption.is_ending = True
            output.end_line()
            return result

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        output.end_line()
        if no_answer:
            fail(str(no_answer[0]), code=no_answer[0].code)
        if interruption.received is None:
            raise
        fail("interrupted", code=128 + interruption.received)
    except ValueError as error:
        fail(str(error), code=2)
    except ClientError as error:
        refused(error)


async def _only_project(client: AsyncAirlock) -> str:
    names = sorted(project.name for project in await client.projects())
    if len(names) != 1:
        fail(f"choose with --project: {', '.join(names) or 'the server lists none'}", code=2)
    return names[0]
