"""`run`: hand a script over, answer what it asks, and give what became of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from airlock.errors import LLMError
from airlock.models import OpenLLMRequest

from .calls import MAX_WAIT
from .effects import Call, Flow, NextEvent, Pause, Start
from .errors import ClientError, Conflict, Unreachable
from .events import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .calls import Calls
    from .events import Event
    from .wire import Result

MAX_ANSWERING: Final = 16  # LLM requests of one script that are answered at once
SOON: Final = 0.25  # seconds; a poll that is answered sooner, without news, was not allowed to wait
Stream = Literal["stdout", "stderr"]

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
    answering = _Answering(calls, execution_id, llm)
    if on_output is None:
        return (yield from _poll(calls, execution_id, answering))
    yield from _listen(EventStream(execution_id, calls.retry_for), answering, on_output)
    return (yield from calls.get(execution_id))


def _poll(calls: Calls, execution_id: str, answering: _Answering) -> Flow[Result]:
    known: int | None = None
    while True:
        began = time.monotonic()
        result = yield from calls.get(execution_id, wait=MAX_WAIT, since=known)
        if result.status.is_terminal:
            return result
        yield from answering.those({request.id: request for request in result.open_llm_requests})
        if result.version == known and time.monotonic() - began < SOON:
            yield Pause(SOON)  # a server that is shutting down lets nobody wait
        known = result.version


def _listen(stream: EventStream, answering: _Answering, on_output: Callable[[Stream, str], Any]) -> Flow[None]:
    is_open: dict[int, OpenLLMRequest] = {}
    while not stream.is_over:
        event: Event = yield NextEvent(stream)
        if event.type in ("stdout", "stderr"):
            yield Call(on_output, (event.type, event.data["text"]))
        elif event.type == "status":
            still_open = event.data["llm_request_ids"]
            is_open = {number: request for number, request in is_open.items() if number in still_open}
            yield from answering.those(is_open)
        elif event.type == "llm_request":
            request = OpenLLMRequest.model_validate(event.data)
            is_open[request.id] = request
            yield from answering.those(is_open)


class _Answering:
    """Has the open LLM requests of one script answered, several at once."""

    def __init__(self, calls: Calls, execution_id: str, llm: Callable[[OpenLLMRequest], Any] | None) -> None:
        self._calls = calls
        self._execution_id = execution_id
        self._llm = llm
        self._taken: set[int] = set()

    def those(self, is_open: Mapping[int, OpenLLMRequest]) -> Flow[None]:
        """Begin to answer what is open now and was not before, as far as there are hands for it."""
        self._taken &= is_open.keys()
        new = [number for number in is_open if number not in self._taken]
        for number in new[: MAX_ANSWERING - len(self._taken)]:
            self._taken.add(number)
            answer = _answer(self._calls, self._execution_id, is_open[number], self._llm)
            yield Start(answer, if_it_fails=self._calls.cancel_as_last_will(self._execution_id))


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
