"""Follows one execution on the terminal: progress until it runs, its output as it comes, its LLM requests."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from rich.text import Text

from airlock.errors import NotAwaitingLLM
from airlock.models import ExecutionStatus, OpenLLMRequest, OutputEvent
from airlock.running import Answer as GivenAnswer
from airlock.running import EventId, EventStream

from .terminal import err, printable

if TYPE_CHECKING:
    from airlock.executions import Execution
    from airlock.gateway import Gateway

    from .answers import Answer

INTERVAL: Final = 0.02  # seconds between looks while it waits to begin


async def follow(gateway: Gateway, execution_id: str, answer: Answer) -> Execution:
    """Return the execution once it is over.

    Raises NoAnswer when an LLM request cannot be answered.
    """
    await _wait_until_begun(gateway, execution_id)
    output, questions = Output(), asyncio.Queue[OpenLLMRequest]()
    showing = asyncio.create_task(_show(gateway, execution_id, output, questions))
    answering = asyncio.create_task(_answer(gateway, execution_id, output, questions, answer))
    try:
        await asyncio.wait((showing, answering), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()  # raises: it goes on for ever
        showing.result()
        return await gateway.get(execution_id)
    finally:
        for task in (showing, answering):
            task.cancel()
        await asyncio.gather(showing, answering, return_exceptions=True)


async def _show(gateway: Gateway, execution_id: str, output: Output, questions: asyncio.Queue[OpenLLMRequest]) -> None:
    """Show the output as it comes, and pass on what is asked, until it is over."""
    events = EventStream(partial(gateway.follow, execution_id), EventId())
    while (event := await events.next()) is not None:
        if event.type in {"stdout", "stderr"}:
            output.write(OutputEvent.model_validate_json(event.data).text)
        elif event.type == "llm_request":
            questions.put_nowait(OpenLLMRequest.model_validate_json(event.data))
    output.end_line()


async def _answer(
    gateway: Gateway, execution_id: str, output: Output, questions: asyncio.Queue[OpenLLMRequest], answer: Answer
) -> NoReturn:
    """Answer one request after the other."""
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


class Output:
    """What the script wrote, both streams on stderr: stdout is kept for the result."""

    def __init__(self) -> None:
        self._last = "\n"

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
