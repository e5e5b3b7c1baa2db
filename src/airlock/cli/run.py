"""`airlock run`: one script, in process, without a server."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from airlock.config import Config
from airlock.errors import RequestError
from airlock.executions import Execution
from airlock.gateway import Gateway
from airlock.logs import formats as logs
from airlock.models import ExecutionRequest
from airlock.plugins import Plugins

from . import answers, setup
from .choice import choose_project
from .following import follow
from .inputs import STDIN, read_memory, read_script, read_settings
from .interruption import Interruption
from .remote import KeyOption
from .remote_run import run_there
from .reporting import report_result
from .terminal import fail


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The script; '-' reads it from stdin.")],
    project: Annotated[str | None, typer.Option(help="Where to run it. Else: the only project that runs code.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A setting of the script, or KEY=@FILE for a file's text. Repeatable."),
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file with the script's memory; updated when it completed.")
    ] = None,
    timeout: Annotated[int | None, typer.Option(help="Most run time, in seconds.")] = None,
    llm: Annotated[str | None, typer.Option(metavar="ask|echo|COMMAND", help=answers.HELP)] = None,
    config: setup.ConfigOption = None,
    url: Annotated[str | None, typer.Option(help="Run it on this server, as airlock exec does.")] = None,
    key: KeyOption = None,
) -> None:
    """Run one script in its sandbox, without a server unless --url names one.

    Its result goes to stdout as JSON, what it writes and everything else to stderr.

    Exit code: 0 it completed, 1 it failed, 2 it could not be run, 128 + N ended by signal N.
    """
    logs.configure("plain", logging.WARNING, keep=_is_news)
    answer = answers.answer_by(llm, stdin_is_script=file == STDIN)
    remembered = read_memory(memory) if memory else {}
    if url is not None:
        if config is not None:
            fail("--config: the server of --url has its own", code=2)
        given = {"code": read_script(file), "settings": read_settings(setting or []), "timeout": timeout}
        result = run_there(url, key, answer, project=project, memory=remembered, **given)
        report_result(result, memory, remembered)
        return
    if key is not None:
        fail("--key: name its server with --url", code=2)
    plugins = Plugins.discover()
    loaded = setup.load(config, plugins, code=2)
    logs.configure("plain", logging.WARNING, keep=_is_news, redact=loaded.make_redactor().text)
    chosen = choose_project(loaded, plugins, project)
    request = _request(
        project=chosen.project.name,
        code=read_script(file),
        settings=read_settings(setting or []),
        memory=remembered,
        **({} if timeout is None else {"timeout": timeout}),
    )
    only = replace(loaded, projects={chosen.project.name: replace(chosen, replicas=1)})
    report_result(_execute(only, plugins, request, answer), memory, remembered)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what becomes of the project: how the run ends says that."""
    return record.name != "airlock.gateway.project" or record.exc_info is not None


def _request(**fields: Any) -> ExecutionRequest:
    try:
        return ExecutionRequest(**fields)
    except ValidationError as error:
        fail(*(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()), code=2)


def _execute(config: Config, plugins: Plugins, request: ExecutionRequest, answer: answers.Answer) -> Execution:
    interruption = Interruption()

    async def main() -> Execution:
        interruption.watch()
        gateway = Gateway(config, plugins)
        try:
            await gateway.start()
            return await follow(gateway, (await gateway.submit(request)).id, answer)
        finally:
            interruption.is_ending = True
            await gateway.close()

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        if interruption.received is None:
            raise
        fail("interrupted", code=128 + interruption.received)
    except answers.NoAnswer as error:
        fail(str(error), code=error.code)
    except RequestError as error:
        fail(str(error), code=2)
