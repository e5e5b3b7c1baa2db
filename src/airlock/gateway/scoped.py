"""The gateway as one client sees it: what belongs to others does not exist.

Routes get this and never the gateway itself, so none can forget the check.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airlock.errors import NotReady, ProjectNotFound
from airlock.plugins import STRANGER

from .gateway import no_such_execution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airlock.executions import Answer, Execution, Listing, Summary
    from airlock.models import ExecutionRequest, PoolStatus, ProjectInfo
    from airlock.plugins import Client, Followed

    from .gateway import Gateway


class ScopedGateway:
    """The gateway's `ClientGateway`, which documents the methods; `Gateway` says what they raise."""

    def __init__(self, gateway: Gateway, client: Client) -> None:
        self._gateway = gateway
        self._client = client

    async def submit(self, request: ExecutionRequest, idempotency_key: str | None = None) -> Execution:
        """Accept a script, as the client's own."""
        self._check_project(request.project)
        return await self._gateway.submit(request, self._client.name, idempotency_key)

    async def page(self, listing: Listing) -> Sequence[Summary]:
        """Return some of the client's executions, newest first."""
        is_scoped = self._client.name is not None  # a stranger's name is empty, not None
        return await self._gateway.page(replace(listing, client=self._client.name) if is_scoped else listing)

    async def get(self, execution_id: str) -> Execution:
        """Return an execution."""
        execution = await self._gateway.get(execution_id)
        if not self._client.may_see(execution.client):
            raise no_such_execution(execution_id)
        return execution

    async def wait(self, execution_id: str, seconds: float, since: int | None = None) -> Execution:
        """Return an execution once there is news."""
        if not seconds:
            return await self.get(execution_id)
        await self._check_execution(execution_id)
        return await self._gateway.wait(execution_id, seconds, since)

    async def follow(self, execution_id: str) -> Followed:
        """Return an execution to read its output in pieces."""
        followed = await self._gateway.follow(execution_id)
        if not self._client.may_see(followed.execution.client):
            raise no_such_execution(execution_id)
        return followed

    async def respond(self, execution_id: str, *answers: Answer) -> Execution:
        """Answer LLM requests."""
        await self._check_execution(execution_id)
        return await self._gateway.respond(execution_id, *answers)

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution."""
        await self._check_execution(execution_id)
        return await self._gateway.cancel(execution_id)

    async def projects(self) -> list[ProjectInfo]:
        """Return the listed projects that the client may use."""
        return [project for project in await self._gateway.projects.infos() if self._client.may_use(project.name)]

    def unready(self) -> dict[str, str]:
        """Return why projects that the client may use are not up although they should be."""
        return self._visible(self._gateway.projects.unready())

    def check_ready(self) -> None:
        """Raise ShuttingDown, or NotReady with the reasons that the client may know, when the server is not ready."""
        self._gateway.check_open()
        if reasons := self._gateway.projects.unready():
            shown = self._visible(reasons)
            count, hidden = len(reasons), len(reasons) - len(shown)
            told = f"; {hidden} of them are visible only to keys that may use them" if hidden else ""
            raise NotReady(f"projects that should be up but are not: {count}{told}", shown)

    async def up(self, name: str, replicas: int) -> PoolStatus:
        """Scale a project."""
        self._check_project(name)
        return await self._gateway.up(name, replicas)

    async def down(self, name: str) -> PoolStatus:
        """Take a project down."""
        self._check_project(name)
        return await self._gateway.down(name)

    def _visible(self, reasons: dict[str, str]) -> dict[str, str]:
        return {name: reason for name, reason in reasons.items() if self._client.may_use(name)}

    async def _check_execution(self, execution_id: str) -> None:
        if self._client.name is not None:  # a client that sees everything need not wait for the store
            await self.get(execution_id)

    def _check_project(self, name: str) -> None:
        if not self._client.may_use(name):
            usable = ", ".join(sorted(self._client.projects or ()))
            told = (
                "without a key none may be used"
                if self._client == STRANGER
                else f"this key may use: {usable or 'none'}"
            )
            raise ProjectNotFound(f"no project {name!r}; {told}")
