"""`run`: hand a script over, answer what it asks, and give what became of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from airlock.errors import LLMError

from .calls import MAX_WAIT
from .effects import Call, Flow, Pause, Start
from .errors import ClientError, Conflict, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airlock.models import OpenLLMRequest

    from .calls import Calls
    from .wire import Result

MAX_ANSWERING: Final = 16  # LLM requests of one script that are answered at once
OUTPUT_INTERVAL: Final = 0.5  # seconds between looks at the output; `version` does not count it

log = logging.getLogger(__name__)


def run(
    calls: Calls,
    code: str,
    *,
    llm: Callable[[OpenLLMRequest], Any] | None,
    on_output: Callable[[Stream, str], Any] | None,
    project: str,
    timeout: int | None,
    settings: Mapping[str, str] | None,
    memory: Mapping[str, Any] | None,
) -> Flow[Result]:
    """Drive one execution to its end. Interrupted, it is cancelled."""
    execution_id = yield from calls.submit(code, project=project, timeout=timeout, settings=settings, memory=memory)
    try:
        return (yield from _follow(calls, execution_id, llm, on_output))
    except Unreachable as error:  # so is cancelling
        error.execution_id = execution_id
        raise
    except BaseException as error:
        if isinstance(error, ClientError):
            error.execution_id = execution_id
        yield from calls.cancel_as_last_will(execution_id)
        raise


def _follow(
    calls: Calls,
    execution_id: str,
    llm: Callable[[OpenLLMRequest], Any] | None,
    on_output: Callable[[Stream, str], Any] | None,
) -> Flow[Result]:
    wait = MAX_WAIT if on_output is None else OUTPUT_INTERVAL
    output = NewOutput()
    taken: set[int] = set()
    known: int | None = None
    while True:
        began = time.monotonic()
        result = yield from calls.get(execution_id, wait=wait, since=known)
        if on_output is not None:
            for stream, text in output.of(result):
                yield Call(on_output, (stream, text))
        if result.status.is_terminal:
            return result
        is_open = {request.id: request for request in result.open_llm_requests}
        taken &= is_open.keys()
        for number in [number for number in is_open if number not in taken][: MAX_ANSWERING - len(taken)]:
            taken.add(number)
            answering = _answer(calls, execution_id, is_open[number], llm)
            yield Start(answering, if_it_fails=calls.cancel_as_last_will(execution_id))
        if result.version == known and time.monotonic() - began < wait / 2:
            yield Pause(OUTPUT_INTERVAL)  # a server that is shutting down lets nobody wait
        known = result.version


def _answer(
    calls: Calls, execution_id: str, request: OpenLLMRequest, llm: Callable[[OpenLLMRequest], Any] | None
) -> Flow[None]:
    response: str | None = None
    error: str | None = None
    if llm is None:
        error = "the agent answers no LLM requests"
    else:
        try:
            response = _text((yield Call(llm, (request,))))
        except LLMError as refusal:
            error = str(refusal)
        except Exception as failure:  # the user's code; the script is hostile, so it is told no more than this
            log.exception("execution %s: llm failed for request %d", execution_id, request.id)
            error = f"the agent failed to answer ({type(failure).__name__})"
    try:
        yield from calls.respond(execution_id, response, request.id, error)
    except Conflict as conflict:  # it is over, or it was answered by somebody else; the next poll shows which
        log.info("execution %s: the answer to request %d came too late: %s", execution_id, request.id, conflict)


def _text(answer: object) -> str:
    if not isinstance(answer, str):
        raise TypeError(f"llm must return str, not {type(answer).__name__}")
    answer.encode()  # a lone surrogate is not text
    return answer


Stream = Literal["stdout", "stderr"]


class NewOutput:
    """Tells what a script has written since the last look. Output only ever grows."""

    def __init__(self) -> None:
        self._seen: dict[Stream, int] = {"stdout": 0, "stderr": 0}

    def of(self, result: Result) -> Iterator[tuple[Stream, str]]:
        """Yield each stream that has something new, with that."""
        texts: dict[Stream, str] = {"stdout": result.stdout, "stderr": result.stderr}
        for stream, text in texts.items():
            if new := text[self._seen[stream] :]:
                self._seen[stream] = len(text)
                yield stream, new
