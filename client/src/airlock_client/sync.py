"""The client for threads: it runs `AsyncAirlock` in a portal."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from .aio import AsyncAirlock
from .portal import Caller, Portal

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
    from types import TracebackType

    from .events import Event, Stream
    from .models import OpenLLMRequest, PoolStatus, ProjectInfo
    from .replies import Result

P = ParamSpec("P")
T = TypeVar("T")


class Airlock:
    """Talks to an Airlock server. Threads may share one client.

    `url` defaults to $AIRLOCK_URL, or http://127.0.0.1:8000 if that is not set, and `key` to $AIRLOCK_API_KEY. While
    the server is unreachable or busy, calls are retried for up to `retry_for` seconds, as far as that is safe.

    Every method raises ProblemError if Airlock refuses, Unreachable if it does not answer, NotAirlock if something else
    answers, and ValueError if the arguments cannot be sent.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, retry_for: float = 60) -> None:
        """Connect lazily: nothing is sent yet. Raises ValueError if the URL or the key is invalid."""
        self._connect = partial(AsyncAirlock, url, key, retry_for=retry_for)
        self._begin()

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
        """Run a script until it finishes, completed or not: check `status`.

        `llm` answers the script's LLM requests, several at once, each in a thread of its own. It gets `prompt`, `model`
        and `id`. If it raises LLMError, the script gets an LLMError with the same text; any other exception is logged,
        and the script learns only its type. `on_output` gets "stdout" or "stderr" and the text. `timeout` is in seconds
        of run time. KeyboardInterrupt cancels the execution, and so does an exception in `on_output`.
        """
        caller = Caller()
        run = partial(
            self._client.run,
            code,
            project=project,
            llm=caller.beside(llm) if llm is not None else None,
            on_output=caller.here(on_output) if on_output is not None else None,
            timeout=timeout,
            settings=settings,
            memory=memory,
        )
        return self._portal.perform(run, caller)

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
        """Submit a script and return the execution's id. Repeating the same `idempotency_key` returns the same id."""
        return self._perform(
            self._client.submit,
            code,
            project=project,
            timeout=timeout,
            settings=settings,
            memory=memory,
            idempotency_key=idempotency_key,
        )

    def get(self, execution_id: str, *, wait: float = 0, since: int | None = None) -> Result:
        """Return an execution as it is now.

        With `wait`, return once it has finished or awaits an answer, or after that many seconds (at most 30); with
        `since` as well, once its `version` differs.
        """
        return self._perform(self._client.get, execution_id, wait=wait, since=since)

    def respond(
        self, execution_id: str, response: str | None = None, *, request_id: int | None = None, error: str | None = None
    ) -> Result:
        """Answer the LLM request `request_id`, by default the oldest; `error` raises an LLMError in the script.

        Without `request_id`, the answer is not sent again after a lost connection: it could answer the next request.
        """
        return self._perform(self._client.respond, execution_id, response, request_id=request_id, error=error)

    def cancel(self, execution_id: str) -> Result:
        """Cancel an execution; a finished one stays as it is."""
        return self._perform(self._client.cancel, execution_id)

    def list(self, *, project: str | None = None, status: str | None = None) -> Iterator[Result]:
        """Yield executions without their bodies, newest first; pages are fetched as needed."""
        return self._iterate(self._client.list(project=project, status=status))

    def events(self, execution_id: str) -> Iterator[Event]:
        """Yield past and new events until the execution has finished. A lost connection loses none."""
        return self._iterate(self._client.events(execution_id))

    def projects(self) -> builtins.list[ProjectInfo]:
        """Return the projects that the key may use, with their pools."""
        return self._perform(self._client.projects)

    def up(self, name: str, replicas: int = 1) -> PoolStatus:
        """Keep `replicas` warm workers. Returns when they are ready, or after 30 s with the current state."""
        return self._perform(self._client.up, name, replicas)

    def down(self, name: str) -> PoolStatus:
        """Take a project down: queued executions end, running ones get a grace period."""
        return self._perform(self._client.down, name)

    def close(self) -> None:
        """Close the connections. Calls in other threads raise RuntimeError, and so does every later call."""
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._connected = self._connect()
        self._portal = Portal(at_end=self._connected.close)

    @property
    def _client(self) -> AsyncAirlock:
        if self._process != os.getpid():  # forked: the connections and the portal's thread belong to the parent
            self._begin()
        return self._connected

    def _perform(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._portal.perform(partial(function, *args, **kwargs), Caller())

    def _iterate(self, items: AsyncGenerator[T]) -> Iterator[T]:
        while (item := self._perform(partial(anext, items, None))) is not None:
            yield item
