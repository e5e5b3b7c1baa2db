"""What `run` does once a script is submitted: it answers LLM requests until the execution has finished."""

from __future__ import annotations

import inspect
import logging
import time
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from .calls import MAX_WAIT
from .errors import Conflict, LLMError
from .models import OpenLLMRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .calls import Calls
    from .replies import Result

MAX_ANSWERING: Final = 16  # LLM requests of one script that are answered at once
SOON: Final = 0.25  # seconds; if a poll without news is answered sooner, the server did not let it wait

log = logging.getLogger(__name__)


class RemoteRun:
    """Drives one execution to its end. `llm` and `on_output` are those of `AsyncAirlock.run`."""

    def __init__(
        self,
        calls: Calls,
        execution_id: str,
        llm: Callable[[OpenLLMRequest], Any] | None,
        on_output: Callable[..., Any] | None,
    ) -> None:
        self._calls = calls
        self._execution_id = execution_id
        self._llm = llm
        self._on_output = on_output
        self._taken: set[int] = set()  # LLM requests that are being answered or have been
        self._tasks = anyio.create_task_group()
        self._threads = anyio.CapacityLimiter(MAX_ANSWERING + 1)
        self._failure: BaseException | None = None

    async def finish(self) -> Result:
        """Return the finished execution. What a callback raises stops waiting at once and is raised here."""
        async with self._tasks:
            await self._keep_failure(self._follow)
            self._tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        return self._result

    async def _keep_failure(self, part: Callable[..., Awaitable[None]], *arguments: object) -> None:
        try:
            await part(*arguments)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised by `finish`: the task group would wrap it
            self._failure = self._failure or error
            self._tasks.cancel_scope.cancel()

    async def _follow(self) -> None:
        if self._on_output is None:
            self._result = await self._poll()
        else:
            await self._listen(self._on_output)
            self._result = await self._calls.get(self._execution_id)

    async def _poll(self) -> Result:
        known: int | None = None
        while True:
            began = time.monotonic()
            result = await self._calls.get(self._execution_id, wait=MAX_WAIT, since=known)
            if result.status.is_terminal:
                return result
            self._answer_new({request.id: request for request in result.open_llm_requests})
            if result.version == known and time.monotonic() - began < SOON:
                await anyio.sleep(SOON)  # a server that is shutting down lets no poll wait
            known = result.version

    async def _listen(self, on_output: Callable[..., Any]) -> None:
        is_open: dict[int, OpenLLMRequest] = {}
        async with aclosing(self._calls.events(self._execution_id)) as events:
            async for event in events:
                if event.type in ("stdout", "stderr"):
                    await self._call(on_output, event.type, event.data["text"])
                elif event.type == "status":
                    still_open = event.data["llm_request_ids"]
                    is_open = {number: request for number, request in is_open.items() if number in still_open}
                    self._answer_new(is_open)
                elif event.type == "llm_request":
                    request = OpenLLMRequest.model_validate(event.data)
                    is_open[request.id] = request
                    self._answer_new(is_open)

    def _answer_new(self, is_open: Mapping[int, OpenLLMRequest]) -> None:
        """Start to answer new requests, up to `MAX_ANSWERING` at once."""
        self._taken &= is_open.keys()
        new = [number for number in is_open if number not in self._taken]
        for number in new[: MAX_ANSWERING - len(self._taken)]:
            self._taken.add(number)
            self._tasks.start_soon(self._keep_failure, self._answer, is_open[number])

    async def _answer(self, request: OpenLLMRequest) -> None:
        response: str | None = None
        error: str | None = None
        if self._llm is None:
            error = "the agent does not answer LLM requests"
        else:
            try:
                response = _text(await self._call(self._llm, request))
            except LLMError as refusal:
                error = str(refusal)
            except Exception as failure:  # the user's code; the script is hostile, so it learns only the type
                log.exception("execution %s: llm failed for request %d", self._execution_id, request.id)
                error = f"the agent failed to answer ({type(failure).__name__})"
        try:
            await self._calls.respond(self._execution_id, response, request_id=request.id, error=error)
        except Conflict as late:  # finished, or answered by another client; the next poll shows which
            log.info("execution %s: the answer to request %d came too late: %s", self._execution_id, request.id, late)

    async def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            return await function(*arguments)
        call = partial(function, *arguments)
        value = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._threads)
        return await value if inspect.isawaitable(value) else value


def _text(answer: object) -> str:
    if not isinstance(answer, str):
        raise TypeError(f"llm must return str, not {type(answer).__name__}")
    answer.encode()  # a lone surrogate is not text
    return answer
