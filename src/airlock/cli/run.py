"""`airlock run`: one script, in process, without a server."""

import asyncio
import logging
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from pydantic import ValidationError
from rich.text import Text

from airlock import logs
from airlock.backends import Project
from airlock.config import Config, ProjectConfig
from airlock.errors import NotAwaitingLLM, RequestError
from airlock.executions import Answer as GivenAnswer
from airlock.executions import Execution
from airlock.gateway import Gateway
from airlock.llm import AgentMediator, MediatorSettings
from airlock.models import ExecutionRequest, ExecutionStatus, OpenLLMRequest, OutputEvent
from airlock.plugins import BACKEND, Plugins
from airlock.running import EventId, EventStream

from . import answers, setup
from .following import Interruption, Output, report_result
from .inputs import STDIN, read_memory, read_script, read_settings
from .remote import KeyOption, run_there
from .terminal import err, fail, printable, say

BUILT_IN: Final = "local"
INSTALL: Final = "pip install 'airlock-core[local]'"
INTERVAL: Final = 0.02  # seconds between polls before it starts


def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The script; '-' reads it from stdin.")],
    project: Annotated[
        str | None, typer.Option(help="Project to run it in; default: the only one that runs code.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A setting of the script, or KEY=@FILE for a file's text. Repeatable."),
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file with the script's memory; updated when it completes.")
    ] = None,
    timeout: Annotated[int | None, typer.Option(help="Maximum run time, in seconds.")] = None,
    llm: Annotated[str | None, typer.Option(metavar="ask|echo|COMMAND", help=answers.HELP)] = None,
    config: setup.ConfigOption = None,
    url: Annotated[str | None, typer.Option(help="Run it on this server, as airlock exec does.")] = None,
    key: KeyOption = None,
) -> None:
    """Run one script in its sandbox, without a server unless --url names one.

    Its result goes to stdout as JSON, its output and everything else to stderr.

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
    """Leave out events of the project: the end of the run reports them."""
    return record.name != "airlock.projects" or record.exc_info is not None


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


def choose_project(config: Config, plugins: Plugins, name: str | None) -> ProjectConfig:
    """Return the project to run the script in, or end the command and say what to do.

    A project that does not run code must be named.
    """
    if config.path is None and name in (None, BUILT_IN):
        return _built_in(plugins)
    if name is not None:
        chosen = config.projects.get(name)
        if chosen is None:  # without `default_backend`, which would accept a mistyped name
            known = ", ".join(sorted(config.projects)) or "none"
            fail(f"--project {name}: no such project; known projects: {known}", code=2)
        return chosen
    candidates = [project for project in config.projects.values() if project.backend.runs_code]
    if len(candidates) > 1:
        names = ", ".join(sorted(project.project.name for project in candidates))
        fail(f"several projects run code; choose with --project: {names}", code=2)
    if not candidates:
        fail(f"{config.path}: no project runs code; {INSTALL}, and list a project with 'backend: local'", code=2)
    return candidates[0]


def _built_in(plugins: Plugins) -> ProjectConfig:
    provided = plugins.of(BACKEND).get(BUILT_IN)
    if provided is None:
        fail(f"no airlock.yaml, and no backend that runs code is installed; {INSTALL}", code=2)
    say(f"no airlock.yaml in {Path.cwd()}: running in {BUILT_IN!r} with its defaults, without packages")
    return ProjectConfig(
        project=Project(name=BUILT_IN, description="What 'airlock run' uses when there is no airlock.yaml"),
        backend=provided.value,
        backend_settings=provided.value.Settings(),
        mediator=AgentMediator,
        mediator_settings=MediatorSettings(),
    )


async def follow(gateway: Gateway, execution_id: str, answer: answers.Answer) -> Execution:
    """Return the execution once it has finished.

    Raises NoAnswer when an LLM request cannot be answered.
    """
    await _wait_until_begun(gateway, execution_id)
    output, questions = Output(), asyncio.Queue[OpenLLMRequest]()
    showing = asyncio.create_task(_show(gateway, execution_id, output, questions))
    answering = asyncio.create_task(_answer(gateway, execution_id, output, questions, answer))
    try:
        await asyncio.wait((showing, answering), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()  # raises: it never returns
        showing.result()
        return await gateway.get(execution_id)
    finally:
        for task in (showing, answering):
            task.cancel()
        await asyncio.gather(showing, answering, return_exceptions=True)


async def _show(gateway: Gateway, execution_id: str, output: Output, questions: asyncio.Queue[OpenLLMRequest]) -> None:
    """Show the output as it comes and pass on LLM requests, until the execution has finished."""
    events = EventStream(partial(gateway.follow, execution_id), EventId())
    while (event := await events.next()) is not None:
        if event.type in {"stdout", "stderr"}:
            output.write(OutputEvent.model_validate_json(event.data).text)
        elif event.type == "llm_request":
            questions.put_nowait(OpenLLMRequest.model_validate_json(event.data))
    output.end_line()


async def _answer(
    gateway: Gateway,
    execution_id: str,
    output: Output,
    questions: asyncio.Queue[OpenLLMRequest],
    answer: answers.Answer,
) -> NoReturn:
    """Answer requests one at a time."""
    while True:
        asked = await questions.get()
        output.end_line()
        response = await answer(asked)
        with suppress(NotAwaitingLLM):  # it was withdrawn meanwhile, or the script has ended
            await gateway.respond(execution_id, GivenAnswer(response, asked.id))


async def _wait_until_begun(gateway: Gateway, execution_id: str) -> None:
    with ExitStack() as stack:
        status = stack.enter_context(err.status("")) if err.is_terminal else None
        while (await gateway.get(execution_id)).status is ExecutionStatus.pending:
            if status is not None:
                [project] = await gateway.projects.infos()
                status.update(Text(printable(f"{project.name}: {project.detail or 'waiting for a worker'}")))
            await asyncio.sleep(INTERVAL)
