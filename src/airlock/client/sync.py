"""The client for threads."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from httpx_sse import EventSource

from . import running, transport
from .calls import Calls
from .effects import Call, Effect, Exchange, Flow, NextEvent, Pause, Start
from .events import Event, EventStream

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Generator, Iterator, Mapping
    from types import TracebackType

    from airlock.models import OpenLLMRequest, PoolStatus, ProjectInfo

    from .errors import ClientError
    from .running import Stream
    from .wire import Reply, Request, Result

T = TypeVar("T")


class Airlock:
    """Talks to an Airlock server. Threads may share one.

    `url` defaults to $AIRLOCK_URL, else http://127.0.0.1:8000, `key` to $AIRLOCK_API_KEY. While the server is away or
    busy, each call is tried again for up to `retry_for` seconds, as far as that is safe.

    Every method raises ProblemError when Airlock refuses, Unreachable when it gives no answer, NotAirlock when
    something else answers, and ValueError when what it is given cannot be sent.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, retry_for: float = 60) -> None:
        """Connect lazily: nothing is sent yet. Raises ValueError when the URL or the key cannot be meant."""
        self._http = httpx.Client(**transport.options(url, key))
        self._calls = Calls(retry_for)

    def run(
        self,
        code: str,
        *,
        project: str,
        llm: Callable[[OpenLLMRequest], str] | None = None,
        on_output: Callable[[Stream, str], object] | None = None,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
    ) -> Result:
        """Run a script to its end, whatever that is: look at `status`.

        `llm` answers the script's LLM requests, several at once, each in a thread of its own. It gets `prompt`, `model`
        and `id`. If it raises LLMError, its text becomes the LLMError in the script; anything else that it raises is
        logged, and the script is only told of what type it was. `on_output` gets "stdout" or "stderr" and what came.
        `timeout` is in seconds of run time. KeyboardInterrupt cancels the execution, and so does what `on_output`
        raises.
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
        return self._perform(flow)

    def submit(
        self,
        code: str,
        *,
        project: str,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Hand a script over and return the execution's id. The same `idempotency_key` again gives the same id."""
        flow = self._calls.submit(
            code,
            project=project,
            timeout=timeout,
            settings=settings,
            memory=memory,
            idempotency_key=idempotency_key,
        )
        return self._perform(flow)

    def get(self, execution_id: str, *, wait: float = 0, since: int | None = None) -> Result:
        """Return an execution as it is.

        With `wait`, in up to so many seconds (30 at most) when it is over or awaits an answer; with `since` as well,
        when its `version` differs.
        """
        return self._perform(self._calls.get(execution_id, wait=wait, since=since))

    def respond(
        self, execution_id: str, response: str | None = None, *, request_id: int | None = None, error: str | None = None
    ) -> Result:
        """Answer an LLM request, with `error` by an LLMError in the script: that of `request_id`, else the one shown.

        Only with `request_id` it is sent again when a connection was lost: else it might answer the next request.
        """
        return self._perform(self._calls.respond(execution_id, response, request_id, error))

    def cancel(self, execution_id: str) -> Result:
        """End an execution; one that is over stays as it is."""
        return self._perform(self._calls.cancel(execution_id))

    def list(self, *, project: str | None = None, status: str | None = None) -> Iterator[Result]:
        """Yield executions without their bodies, the newest first, fetching more as they are needed."""
        cursor = None
        while True:
            page = self._perform(self._calls.page(project=project, status=status, cursor=cursor))
            yield from page.executions
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(self, execution_id: str) -> Iterator[Event]:
        """Yield what has happened and what happens, until the execution is over. A lost connection loses nothing."""
        return _events(self._http, EventStream(execution_id, self._calls.retry_for))

    def projects(self) -> builtins.list[ProjectInfo]:
        """Return the projects that the key may use, with their pools."""
        return self._perform(self._calls.projects())

    def up(self, name: str, replicas: int = 1) -> PoolStatus:
        """Keep so many warm workers. Returns when they are ready, or after 30 s with the state as it is."""
        return self._perform(self._calls.up(name, replicas))

    def down(self, name: str) -> PoolStatus:
        """Put a project down: what waits ends, what runs has a grace."""
        return self._perform(self._calls.down(name))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def _perform(self, flow: Flow[T]) -> T:
        return _Performance(self._http).perform(flow)


def _events(http: httpx.Client, stream: EventStream) -> Generator[Event]:
    while True:
        request = stream.request()
        failure: ClientError = stream.broken_off()
        try:
            with http.stream(**transport.arguments(request)) as response:
                if transport.is_event_stream(response):
                    stream.begin()
                    for received in EventSource(response).iter_sse():
                        if event := stream.take(received):
                            yield event
                        if stream.is_over:
                            return
                else:
                    response.read()
                    failure = stream.refusal(transport.reply(request, response))
        except httpx.HTTPError as error:
            failure = transport.failure(error, http.base_url)
        time.sleep(stream.pause_after(failure))


class _Performance:
    """Performs one flow, and in threads those that it starts."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._failure: BaseException | None = None  # of a flow that was started
        self._events: Generator[Event] | None = None
        self._is_over = False

    def perform(self, flow: Flow[T]) -> T:
        """Return what the flow returns; raise what it raises."""
        try:
            return self._drive(flow, self._main_effect)
        finally:
            self._is_over = True
            if self._events is not None:
                self._events.close()

    def _drive(self, flow: Flow[T], perform: Callable[[Effect], Any]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    value = perform(effect)
                except BaseException as error:  # noqa: BLE001 - the flow decides, and raises it again
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as returned:
            result: T = returned.value
            return result

    def _main_effect(self, effect: Effect) -> Any:
        value = self._effect(effect)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return value

    def _effect(self, effect: Effect) -> Any:
        match effect:
            case Exchange(request):
                return self._exchange(request)
            case NextEvent(stream):
                self._events = self._events or _events(self._http, stream)
                return next(self._events, None)
            case Pause(seconds):
                return time.sleep(seconds)
            case Call(function, arguments):
                return function(*arguments)
            case Start(flow, if_it_fails):
                context = contextvars.copy_context()  # for those who trace what their LLM does
                # a daemon: an LLM that nobody waits for any more does not keep the program from ending
                return threading.Thread(target=context.run, args=(self._beside, flow, if_it_fails), daemon=True).start()

    def _exchange(self, request: Request) -> Reply:
        try:
            return transport.reply(request, self._http.request(**transport.arguments(request)))
        except httpx.HTTPError as error:
            raise transport.failure(error, self._http.base_url) from error

    def _beside(self, flow: Flow[None], if_it_fails: Flow[None]) -> None:
        try:
            self._drive(flow, self._beside_effect)
        except _Over:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that runs the main flow
            self._failure = error
            with contextlib.suppress(_Over):
                self._drive(if_it_fails, self._beside_effect)

    def _beside_effect(self, effect: Effect) -> Any:
        if self._is_over:
            raise _Over
        return self._effect(effect)


class _Over(Exception):
    """Ends a flow whose main flow is over."""
