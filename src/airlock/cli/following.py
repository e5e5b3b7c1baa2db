"""Follows one execution on the terminal: progress until it runs, its output as it comes, its LLM requests."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rich.text import Text

from airlock.errors import NotAwaitingLLM
from airlock.models import ExecutionStatus
from airlock.questions import Answer as GivenAnswer

from .terminal import err, printable

if TYPE_CHECKING:
    from airlock.executions import Execution, OpenRequest
    from airlock.gateway import Gateway

    from .answers import Answer

INTERVAL: Final = 0.02  # seconds between looks


async def follow(gateway: Gateway, execution_id: str, answer: Answer) -> Execution:
    """Return the execution once it is over.

    Raises NoAnswer when an LLM request cannot be answered.
    """
    output = Output()
    answering: asyncio.Task[None] | None = None
    try:
        await _wait_until_begun(gateway, execution_id)
        while True:
            execution = await gateway.get(execution_id)
            output.show(execution)
            if execution.status.is_terminal:
                output.end_line()
                return execution
            if answering is not None and answering.done():
                answering.result()
                answering = None
            elif answering is None and execution.llm_requests:
                output.end_line()
                answering = asyncio.create_task(_answer(gateway, execution_id, execution.llm_requests[0], answer))
            await asyncio.sleep(INTERVAL)
    finally:
        if answering is not None:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)


async def _wait_until_begun(gateway: Gateway, execution_id: str) -> None:
    with ExitStack() as stack:
        status = stack.enter_context(err.status("")) if err.is_terminal else None
        while (await gateway.get(execution_id)).status is ExecutionStatus.pending:
            if status is not None:
                [project] = await gateway.projects.infos()
                status.update(Text(printable(f"{project.name}: {project.detail or 'waiting for a worker'}")))
            await asyncio.sleep(INTERVAL)


async def _answer(gateway: Gateway, execution_id: str, asked: OpenRequest, answer: Answer) -> None:
    response = await answer(asked.request)
    if asked not in (await gateway.get(execution_id)).llm_requests[:1]:
        return  # it was withdrawn meanwhile; the next look shows what is asked now
    try:
        await gateway.respond(execution_id, GivenAnswer(response))
    except NotAwaitingLLM:
        return  # it ended meanwhile; the next look says why


class Output:
    """What the script wrote, both streams on stderr: stdout is kept for the result."""

    def __init__(self) -> None:
        self._shown = {"stdout": 0, "stderr": 0}
        self._last = "\n"

    def show(self, execution: Execution) -> None:
        """Show what is new."""
        for stream, text in (("stdout", execution.stdout), ("stderr", execution.stderr)):
            if new := text[self._shown[stream] :]:
                self._shown[stream] = len(text)
                self.write(new)

    def write(self, text: str) -> None:
        """Show some more."""
        self._last = text[-1]
        sys.stderr.write(printable(text) if err.is_terminal else text)
        sys.stderr.flush()

    def end_line(self) -> None:
        """Begin a new line, unless one begins."""
        if self._last != "\n":
            self._last = "\n"
            sys.stderr.write("\n")
