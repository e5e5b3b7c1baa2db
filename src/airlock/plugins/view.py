"""What routes of plugins may do: ask the gateway on behalf of a client, for whom others' things do not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from airlock.backends import Stream
    from airlock.executions import Answer, Execution, Listing, Summary
    from airlock.models import ExecutionRequest, PoolStatus, ProjectInfo


@dataclass(frozen=True, slots=True)
class Client:
    """Who sent a request: the name of the key, and the projects that it may use (None: all).

    Without a name it is the operator, or anybody on a server without keys: every execution is visible then.
    """

    name: str | None = None
    projects: frozenset[str] | None = None

    def may_use(self, project: str) -> bool:
        """Whether this project exists for the client."""
        return self.projects is None or project in self.projects

    def may_see(self, owner: str | None) -> bool:
        """Whether an execution that the client of this name submitted exists for this client."""
        return self.name is None or self.name == owner


STRANGER: Final = Client(name="", projects=frozenset())
"""Who sent no key that counts to a path that needs none: may use and see nothing. No key has an empty name."""


class Followed(Protocol):
    """An execution whose output can be read in pieces: a live one, or what a store has of one."""

    @property
    def execution(self) -> Execution:
        """Its record; of a live one without the output."""

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more, as long as this server runs."""

    def read(self, stream: Stream, start: int, most: int) -> str:
        """Return output from the character `start` on."""

    async def news(self) -> None:
        """Wait for output or a change."""

    async def change(self) -> None:
        """Wait for a change."""


class ClientGateway(Protocol):
    """The gateway as one client sees it: with the client's projects, executions, quotas and idempotency keys.

    What is not the client's raises the same error as what does not exist. Every error is an `AirlockError` that says
    what to do; a route that lets it pass answers with the same problem as core's routes.
    """

    async def submit(self, request: ExecutionRequest, idempotency_key: str | None = None) -> Execution:
        """Accept a script; returns its record, which is pending. `wait` for what becomes of it.

        If the client sent the same request with the same key before, returns the execution of then. Raises when the
        project is unknown or down, its queue or the client's quota is full, or the server shuts down.
        """

    async def page(self, listing: Listing) -> Sequence[Summary]:
        """Return some of the client's executions, newest first."""

    async def get(self, execution_id: str) -> Execution:
        """Return an execution, with its output up to now."""

    async def wait(self, execution_id: str, seconds: float, since: int | None = None) -> Execution:
        """Return an execution once it has finished or awaits an answer; with `since`, once its version differs.

        Returns it as it is after `seconds`, or when the server shuts down.
        """

    async def follow(self, execution_id: str) -> Followed:
        """Return an execution to read its output in pieces."""

    async def respond(self, execution_id: str, *answers: Answer) -> Execution:
        """Answer LLM requests, all or none; returns the execution as it is then.

        Raises when a request is not open, or got another answer. The same answer again changes nothing.
        """

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution, whatever it does; returns it once that is done. One that has finished stays as it is."""

    async def projects(self) -> list[ProjectInfo]:
        """Return the listed projects that the client may use, as `GET /projects` does."""

    def unready(self) -> Mapping[str, str]:
        """Return, of the projects that the client may use, those that shall be up and are not, and why."""

    def check_ready(self) -> None:
        """Raise what `GET /ready` answers when the server is not ready, with the reasons that the client may know."""

    async def up(self, name: str, replicas: int) -> PoolStatus:
        """Keep so many workers of a project; returns when they are ready, or after 30 s, and goes on."""

    async def down(self, name: str) -> PoolStatus:
        """Put a project down: what waits ends, what runs gets `limits.shutdown_grace`."""


class GatewayView(Protocol):
    """The gateway, for routes. They act as the client that asks: `gateway.for_client(gateway.client_of(request))`."""

    def for_client(self, client: Client) -> ClientGateway:
        """Return the gateway as this client sees it. `Client()` is the operator, who sees everything."""

    def client_of(self, request: Request) -> Client:
        """Return who sent a request: `STRANGER` when it came to a public path without a key that counts."""

    @property
    def has_keys(self) -> bool:
        """Whether the server asks for keys; without any, everybody whom it serves is the operator."""

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project, by the project's name.

        Names of other projects, those that `default_backend` serves, are made up by clients: do not keep each of them.
        """
