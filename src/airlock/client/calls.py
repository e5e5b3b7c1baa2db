"""The calls of the REST API, one flow each, and how they are retried."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airlock.models import ExecutionCreated, PoolStatus, ProjectInfo, ProjectList

from .effects import Exchange, Flow, Pause
from .errors import ClientError, Unreachable
from .paths import execution_path, segment
from .retries import BUSY, Retries, is_transient
from .wire import Page, Reply, Request, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_WAIT: Final = 30  # seconds that the server lets a poll wait
LAST_WILL: Final = 3.0  # seconds that an interrupted run spends on cancelling its execution at most


class Calls:
    """Makes the flows. `retry_for`: seconds that a call is tried again when the server is away or busy."""

    def __init__(self, retry_for: float) -> None:
        self.retry_for = retry_for

    def submit(
        self,
        code: str,
        *,
        project: str,
        timeout: int | None = None,
        settings: Mapping[str, str] | None = None,
        memory: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[str]:
        """Hand a script over; gives the execution's id."""
        given = {"timeout": timeout, "settings": settings, "memory": memory}
        request = Request(
            method="POST",
            path="/execute",
            headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
            body={
                "project": project,
                "code": code,
                **{key: value for key, value in given.items() if value is not None},
            },
        )
        reply = yield from self._send(request, if_interrupted=self._withdraw)
        return reply.parse(ExecutionCreated).execution_id

    def get(self, execution_id: str, *, wait: float = 0, since: int | None = None) -> Flow[Result]:
        """Poll once."""
        query: dict[str, float] = {}
        if wait:
            query["wait"] = min(wait, MAX_WAIT)
        if since is not None:
            query["since"] = since
        request = Request(method="GET", path=execution_path(execution_id), query=query, patience=wait + 30)
        return (yield from self._send(request)).parse(Result)

    def respond(
        self, execution_id: str, response: str | None, request_id: int | None = None, error: str | None = None
    ) -> Flow[Result]:
        """Answer an LLM request."""
        given = {"response": response, "request_id": request_id, "error": error}
        request = Request(
            method="POST",
            path=f"{execution_path(execution_id)}/respond",
            body={key: value for key, value in given.items() if value is not None},
            repeatable=request_id is not None,  # else it would answer the next question as well
        )
        return (yield from self._send(request)).parse(Result)

    def cancel(self, execution_id: str) -> Flow[Result]:
        """End an execution."""
        return (yield from self._send(_cancel(execution_id))).parse(Result)

    def cancel_as_last_will(self, execution_id: str) -> Flow[None]:
        """Try once, in a short time, to end the execution of somebody who is being interrupted."""
        with suppress(Unreachable):
            yield Exchange(replace(_cancel(execution_id), patience=LAST_WILL), is_last_will=True)

    def page(self, *, project: str | None, status: str | None, cursor: str | None) -> Flow[Page]:
        """One page of the list."""
        given = {"project": project, "status": status, "cursor": cursor}
        query = {key: value for key, value in given.items() if value is not None}
        return (yield from self._send(Request(method="GET", path="/executions", query=query))).parse(Page)

    def projects(self) -> Flow[list[ProjectInfo]]:
        """The projects that the key may use."""
        return (yield from self._send(Request(method="GET", path="/projects"))).parse(ProjectList).projects

    def up(self, name: str, replicas: int) -> Flow[PoolStatus]:
        """Scale a project."""
        path = f"/projects/{segment(name)}/up"
        request = Request(method="POST", path=path, body={"replicas": replicas}, patience=60)
        return (yield from self._send(request)).parse(PoolStatus)

    def down(self, name: str) -> Flow[PoolStatus]:
        """Put a project down."""
        request = Request(method="POST", path=f"/projects/{segment(name)}/down", patience=60)
        return (yield from self._send(request)).parse(PoolStatus)

    def _withdraw(self, submission: Request) -> Flow[None]:
        """End what a submission began whose answer never came: sent again, it gives the id and begins nothing new."""
        with suppress(ClientError):
            reply: Reply = yield Exchange(replace(submission, patience=LAST_WILL), is_last_will=True)
            yield from self.cancel_as_last_will(reply.parse(ExecutionCreated).execution_id)

    def _send(self, request: Request, if_interrupted: Callable[[Request], Flow[None]] | None = None) -> Flow[Reply]:
        """Send it until it is answered, as far as that is safe and `retry_for` allows."""
        retries = Retries(self.retry_for)
        while True:
            try:
                reply: Reply = yield Exchange(request)
            except Unreachable as error:
                if error.was_sent and not request.repeatable:
                    raise
                failure: ClientError = error
            except BaseException:
                if if_interrupted is not None:
                    yield from if_interrupted(request)
                raise
            else:
                if not is_transient(reply) or (reply.status not in BUSY and not request.repeatable):
                    return reply
                failure = reply.error()
            yield Pause(retries.pause_after(failure))


def _cancel(execution_id: str) -> Request:
    return Request(method="POST", path=f"{execution_path(execution_id)}/cancel")
