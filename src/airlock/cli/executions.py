"""`airlock exec`, `ps`, `logs` and `cancel`: executions on a server."""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, get_args

import typer

from airlock.client import ExecutionStatus, Stream

from . import answers
from .following import report, report_result
from .inputs import STDIN, read_memory, read_script, read_settings
from .remote import JsonOption, KeyOption, UrlOption, connected, echo_json, run_there
from .terminal import columns, fail, out, printable

Ids = Annotated[list[str], typer.Argument(metavar="ID...")]
Id = Annotated[str, typer.Argument(metavar="ID")]


def exec_(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="The script; '-' reads it from stdin.")] = None,
    code: Annotated[str | None, typer.Option("-c", "--code", help="The script itself, instead of a file.")] = None,
    project: Annotated[str | None, typer.Option(help="Project to run it in; default: the only one.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting, or KEY=@FILE. Repeatable.")
    ] = None,
    memory: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file with the script's memory; updated when it completes.")
    ] = None,
    timeout: Annotated[int | None, typer.Option(help="Maximum run time, in seconds.")] = None,
    llm: Annotated[str | None, typer.Option(metavar="ask|echo|COMMAND", help=answers.HELP)] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Run one script on a server; Ctrl-C cancels it.

    Its result goes to stdout as JSON, its output and everything else to stderr.

    Exit code: 0 it completed, 1 it failed, 2 it could not be run, 128 + N ended by signal N.
    """
    if (file is None) == (code is None):
        fail("give a FILE, or the script with -c", code=2)
    answer = answers.answer_by(llm, stdin_is_script=file == STDIN)
    remembered = read_memory(memory) if memory else {}
    result = run_there(
        url,
        key,
        answer,
        project=project,
        code=code if code is not None else read_script(str(file)),
        settings=read_settings(setting or []),
        memory=remembered,
        timeout=timeout,
    )
    report_result(result, memory, remembered)


def ps(
    project: Annotated[str | None, typer.Option(help="Only executions of this project.")] = None,
    status: Annotated[ExecutionStatus | None, typer.Option(help="Only executions with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of executions.")] = 20,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List executions, newest first."""
    with connected(url, key) as client:
        found = list(islice(client.list(project=project, status=status.value if status else None), limit))
    if as_json:
        fields = {"execution_id", "project", "status", "error_type", "error", "exit_code", "created_at", "version"}
        rows = [execution.model_dump(mode="json", include=fields) for execution in found]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2).encode())
        return
    table = [["ID", "PROJECT", "CREATED", "STATUS", "EXIT", "CAUSE"]]
    for execution in found:
        created = execution.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if execution.created_at else ""
        cause = execution.error_type or ""
        code = "" if execution.exit_code is None else str(execution.exit_code)
        table.append([execution.execution_id, execution.project or "", created, execution.status.value, code, cause])
    for line in columns(table):
        out.print(printable(line))


def logs(
    execution_id: Id,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Follow the output to its end.")] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Print the output of an execution, its stdout to stdout and its stderr to stderr.

    With -f, the exit code is that of the execution: 0 it completed, 1 it failed.
    """
    with connected(url, key) as client:
        for event in client.events(execution_id) if follow else ():
            for stream in get_args(Stream):
                if event.type == stream and not as_json:
                    _write(stream, event.data["text"])
        result = client.get(execution_id)
    if as_json:
        echo_json(result)
    elif not follow:
        _write("stdout", result.stdout)
        _write("stderr", result.stderr)
    if follow:
        report(result)


def cancel(execution_ids: Ids, as_json: JsonOption = False, url: UrlOption = None, key: KeyOption = None) -> None:
    """End executions; finished ones stay as they are."""
    with connected(url, key) as client:
        for execution_id in execution_ids:
            result = client.cancel(execution_id)
            if as_json:
                echo_json(result)
            else:
                out.print(printable(f"{execution_id} {result.status.value} {result.error_type or ''}".rstrip()))


def _write(stream: Stream, text: str) -> None:
    file = dict(zip(get_args(Stream), (sys.stdout, sys.stderr), strict=True))[stream]
    file.write(printable(text) if file.isatty() else text)
    file.flush()
