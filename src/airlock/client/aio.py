"""The client for asyncio and trio. What the methods do is said at `Airlock`."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx
from httpx_sse import EventSource

from . import running, transport
from .calls import Calls
from .effects import Call, Effect, Exchange, Flow, NextEvent, Pause, Start
from .errors import Unreachable
from .events import Event, EventStream

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType

    from airlock.models import OpenLLMRequest, PoolStatus, ProjectInfo

    from .errors import ClientError
    from .running import Stream
    from .wire import Reply, Request, Result

T = TypeVar("T")


class AsyncAirlock:
    """Talks to an Airlock server, like `Airlock`, and raises the same. Tasks may share one."""

    def __init__(self, url: str | None = None, key: str | None = None, *, retry_for: float = 60) -> None:
        """Connect lazily: nothing is sent yet. Raises ValueError when the URL or the key cannot be meant."""
        self._http = httpx.AsyncClient(**transport.options(url, key))
        self._calls = Calls(retry_for)

    async def run(
        self,
        code: str,
        *,
        project: str,
        llm: Callable[[OpenLLMRequest], Awaitable[str] | str] | None = None,
        on_output: Callable[[Stream, str], object] | None = None,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a script to its end, whatever that is, as `Airlock.run` does.

        `llm` and `on_output` may be async; plain functions are called in a thread, so they may block. Cancelled, it
        cancels the execution.
        """
        flow = running.run(
            self._calls,
            code,
            llm=llm,
            on_output=on_output,
            project=project,
            timeout=timeout,
            settings=settings,
            memory=memory,
        )
        return await self._perform(flow)

    async def submit(
        self,
        code: str,
        *,
        project: str,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Hand a script over and return the execution's id."""
        flow = self._calls.submit(
            code,
            project=project,
            timeout=timeout,
            settings=settings,
            memory=memory,
            idempotency_key=idempotency_key,
        )
        return await self._perform(flow)

    async def get(self, execution_id: str, *, wait: float = 0, since: int | None = None) -> Result:
        """Return an execution as it is, or with `wait` as soon as there is news."""
        return await self._perform(self._calls.get(execution_id, wait=wait, since=since))

    async def respond(
        self, execution_id: str, response: str | None = None, *, request_id: int | None = None, error: str | None = None
    ) -> Result:
        """Answer an LLM request."""
        return await self._perform(self._calls.respond(execution_id, response, request_id, error))

    async def cancel(self, execution_id: str) -> Result:
        """End an execution; one that is over stays as it is."""
        return await self._perform(self._calls.cancel(execution_id))

    async def list(self, *, project: str | None = None, status: str | None = None) -> AsyncIterator[Result]:
        """Yield executions without their bodies, the newest first, fetching more as they are needed."""
        cursor = None
        while True:
            page = await self._perform(self._calls.page(project=project, status=status, cursor=cursor))
            for execution in page.executions:
                yield execution
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(self, execution_id: str) -> AsyncIterator[Event]:
        """Yield what has happened and what happens, until the execution is over. A lost connection loses nothing."""
        return _events(self._http, EventStream(execution_id, self._calls.retry_for))

    async def projects(self) -> builtins.list[ProjectInfo]:
        """Return the projects that the key may use, with their pools."""
        return await self._perform(self._calls.projects())

    async def up(self, name: str, replicas: int = 1) -> PoolStatus:
        """Keep so many warm workers. Returns when they are ready, or after 30 s with the state as it is."""
        return await self._perform(self._calls.up(name, replicas))

    async def down(self, name: str) -> PoolStatus:
        """Put a project down: what waits ends, what runs has a grace."""
        return await self._perform(self._calls.down(name))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, flow: Flow[T]) -> T:
        return await _Performance(self._http).perform(flow)


async def _events(http: httpx.AsyncClient, stream: EventStream) -> AsyncGenerator[Event]:
    while True:
        request = stream.request()
        failure: ClientError = stream.broken_off()
        try:
            async with http.stream(**transport.arguments(request)) as response:
                if transport.is_event_stream(response):
                    stream.begin()
                    async for received in EventSource(response).aiter_sse():
                        if event := stream.take(received):
                            yield event
                        if stream.is_over:
                            return
                else:
                    await response.aread()
                    failure = stream.refusal(transport.reply(request, response))
        except httpx.HTTPError as error:
            failure = transport.failure(error, http.base_url)
        await anyio.sleep(stream.pause_after(failure))


class _Performance:
    """Performs one flow, and in tasks those that it starts."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._tasks = anyio.create_task_group()
        self._waiting = anyio.CancelScope()
        self._failure: BaseException | None = None  # of a flow that was started
        self._events: AsyncGenerator[Event] | None = None
        self._threads = anyio.CapacityLimiter(running.MAX_ANSWERING + 1)

    async def perform(self, flow: Flow[T]) -> T:
        """Return what the flow returns; raise what it raises."""
        results: list[T] = []
        raised: BaseException | None = None
        async with self._tasks:
            try:
                results.append(await self._drive(flow, self._main_effect))
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 - raised below: the task group would wrap it
                raised = error
            finally:
                if self._events is not None:
                    await self._events.aclose()
            self._tasks.cancel_scope.cancel()
        if raised is not None:
            raise raised
        return results[0]

    async def _drive(self, flow: Flow[T], perform: Callable[[Effect], Awaitable[Any]]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    value = await perform(effect)
                except BaseException as error:  # noqa: BLE001 - the flow decides, and raises it again
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as returned:
            result: T = returned.value
            return result

    async def _main_effect(self, effect: Effect) -> Any:
        if self._failure is None:
            with anyio.CancelScope() as self._waiting:
                return await self._effect(effect)
        assert self._failure is not None
        failure, self._failure = self._failure, None
        raise failure

    async def _effect(self, effect: Effect) -> Any:
        match effect:
            case Exchange(request, is_last_will):
                return await (self._last_will(request) if is_last_will else self._exchange(request))
            case NextEvent(stream):
                self._events = self._events or _events(self._http, stream)
                return await anext(self._events, None)
            case Pause(seconds):
                return await anyio.sleep(seconds)
            case Call(function, arguments):
                return await self._call(partial(function, *arguments), is_async=_is_async(function))
            case Start(flow, _):
                return self._tasks.start_soon(self._beside, flow)

    async def _exchange(self, request: Request) -> Reply:
        try:
            return transport.reply(request, await self._http.request(**transport.arguments(request)))
        except httpx.HTTPError as error:
            raise transport.failure(error, self._http.base_url) from error

    async def _last_will(self, request: Request) -> Reply:
        try:
            with anyio.fail_after(request.patience, shield=True):
                return await self._exchange(request)
        except TimeoutError:
            raise Unreachable(f"{self._http.base_url} gives no answer", was_sent=True) from None

    async def _call(self, call: Callable[[], Any], *, is_async: bool) -> Any:
        if is_async:
            return await call()
        value = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._threads)
        return await value if inspect.isawaitable(value) else value

    async def _beside(self, flow: Flow[None]) -> None:
        try:
            await self._drive(flow, self._effect)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised again in the main flow
            self._failure = error
            self._waiting.cancel()


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
