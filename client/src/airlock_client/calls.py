"""The calls of the REST API, and how they are retried."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio

from .errors import ClientError, Unreachable
from .events import EventStream
from .models import ExecutionCreated, PoolStatus, ProjectInfo, ProjectList
from .replies import Page, Request, Result
from .retries import BUSY, Retries, is_transient
from .transport import Transport

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from .events import Event
    from .replies import Reply

MAX_WAIT: Final = 30  # seconds that the server lets a poll wait


class Calls:
    """The methods of `AsyncAirlock`, one for each call of the REST API. `Airlock` documents them."""

    def __init__(self, url: str | None = None, key: str | None = None, *, retry_for: float = 60) -> None:
        """Connect lazily: nothing is sent yet. Raises ValueError if the URL or the key is invalid."""
        self._transport = Transport(url, key)
        self._retry_for = retry_for

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
        """Submit a script and return the execution's id."""
        body = _given(project=project, code=code, timeout=timeout, settings=settings, memory=memory)
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex}
        request = Request(method="POST", path="/execute", headers=headers, body=body)
        reply = await self._send(request, if_interrupted=self._withdraw)
        return reply.parse(ExecutionCreated).execution_id

    async def get(self, execution_id: str, *, wait: float = 0, since: int | None = None) -> Result:
        """Return an execution as it is now, or with `wait` as soon as there is news."""
        query = _given(wait=min(wait, MAX_WAIT) or None, since=since)
        request = Request(method="GET", path=_execution(execution_id), query=query, patience=wait + 30)
        return (await self._send(request)).parse(Result)

    async def respond(
        self, execution_id: str, response: str | None = None, *, request_id: int | None = None, error: str | None = None
    ) -> Result:
        """Answer an LLM request."""
        request = Request(
            method="POST",
            path=f"{_execution(execution_id)}/respond",
            body=_given(response=response, request_id=request_id, error=error),
            repeatable=request_id is not None,  # without it, a repetition could answer the next question
        )
        return (await self._send(request)).parse(Result)

    async def cancel(self, execution_id: str) -> Result:
        """Cancel an execution; a finished one stays as it is."""
        return (await self._send(_cancel(execution_id))).parse(Result)

    async def list(self, *, project: str | None = None, status: str | None = None) -> AsyncGenerator[Result]:
        """Yield executions without their bodies, newest first; pages are fetched as needed."""
        cursor = None
        while True:
            query = _given(project=project, status=status, cursor=cursor)
            page = (await self._send(Request(method="GET", path="/executions", query=query))).parse(Page)
            for execution in page.executions:
                yield execution
            cursor = page.next_cursor
            if cursor is None:
                return

    def events(self, execution_id: str) -> AsyncGenerator[Event]:
        """Yield past and new events until the execution has finished. A lost connection loses none."""
        return self._transport.events(EventStream(f"{_execution(execution_id)}/events", self._retry_for))

    async def projects(self) -> builtins.list[ProjectInfo]:
        """Return the projects that the key may use, with their pools."""
        return (await self._send(Request(method="GET", path="/projects"))).parse(ProjectList).projects

    async def up(self, name: str, replicas: int = 1) -> PoolStatus:
        """Keep `replicas` warm workers. Returns when they are ready, or after 30 s with the current state."""
        request = Request(method="POST", path=f"{_project(name)}/up", body={"replicas": replicas}, patience=60)
        return (await self._send(request)).parse(PoolStatus)

    async def down(self, name: str) -> PoolStatus:
        """Take a project down: queued executions end, running ones get a grace period."""
        return (await self._send(Request(method="POST", path=f"{_project(name)}/down", patience=60))).parse(PoolStatus)

    async def _cancel_as_last_will(self, execution_id: str) -> None:
        """Try once, briefly, to cancel the execution of a caller that is being interrupted."""
        with suppress(Unreachable):
            await self._transport.exchange_as_last_will(_cancel(execution_id))

    async def _withdraw(self, submission: Request) -> None:
        """Cancel what an unanswered submission started; sent again, it returns the id and starts nothing new."""
        with suppress(ClientError):
            reply = await self._transport.exchange_as_last_will(submission)
            await self._cancel_as_last_will(reply.parse(ExecutionCreated).execution_id)

    async def _send(
        self, request: Request, if_interrupted: Callable[[Request], Awaitable[None]] | None = None
    ) -> Reply:
        """Send a request until it is answered, as far as that is safe and `retry_for` allows."""
        retries = Retries(self._retry_for)
        while True:
            try:
                reply = await self._transport.exchange(request)
            except Unreachable as error:
                if error.was_sent and not request.repeatable:
                    raise
                failure: ClientError = error
            except BaseException:
                if if_interrupted is not None:
                    await if_interrupted(request)
                raise
            else:
                if not is_transient(reply) or (reply.status not in BUSY and not request.repeatable):
                    return reply
                failure = reply.error()
            await anyio.sleep(retries.pause_after(failure))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _execution(execution_id: str) -> str:
    return f"/executions/{_segment(execution_id)}"


def _project(name: str) -> str:
    return f"/projects/{_segment(name)}"


def _segment(name: str) -> str:
    if not name.strip("."):  # "", "." and ".." would change the path
        raise ValueError(f"{name!r} is not a valid id or name")
    return quote(name, safe="")


def _cancel(execution_id: str) -> Request:
    return Request(method="POST", path=f"{_execution(execution_id)}/cancel")
