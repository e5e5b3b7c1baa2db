"""What plugins' routes may do: call the gateway on behalf of a client, for whom nothing of others exists."""

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
    """The sender of a request: the name of its key, and the projects that it may use (None: all).

    Without a name it is the operator, or anyone on a server without keys, and sees every execution.
    """

    name: str | None = None
    projects: frozenset[str] | None = None

    def may_use(self, project: str) -> bool:
        """Whether this project exists for the client."""
        return self.projects is None or project in self.projects

    def may_see(self, owner: str | None) -> bool:
        """Whether this client may see an execution that the client named `owner` submitted."""
        return self.name is None or self.name == owner


STRANGER: Final = Client(name="", projects=frozenset())
"""A client without a valid key on a public path: may use and see nothing. No key has an empty name."""


class Followed(Protocol):
    """An execution whose output can be read in pieces, live or stored."""

    @property
    def execution(self) -> Execution:
        """The record, without output while the execution is live."""

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more while this server runs."""

    def read(self, stream: Stream, start: int, most: int) -> str:
        """Return at most `most` characters of output from `start` on."""

    async def news(self) -> None:
        """Wait for output or a change."""

    async def change(self) -> None:
        """Wait for a change."""


class ClientGateway(Protocol):
    """The gateway as one client sees it: with the client's projects, executions, quotas and idempotency keys.

    What belongs to others raises the same error as what does not exist. Every error is an `AirlockError` that says what
    to do; a route that does not catch it answers with the same problem as core's routes.
    """

    async def submit(self, request: ExecutionRequest, idempotency_key: str | None = None) -> Execution:
        """Accept a script; returns its pending record. Use `wait` to follow it.

        If the client sent the same request with the same key before, returns the execution that it created then.
        Raises when the project is unknown or down, its queue or the client's quota is full, or the server shuts down.
        """

    async def page(self, listing: Listing) -> Sequence[Summary]:
        """Return some of the client's executions, newest first."""

    async def get(self, execution_id: str) -> Execution:
        """Return an execution with its output so far."""

    async def wait(self, execution_id: str, seconds: float, since: int | None = None) -> Execution:
        """Return an execution once it has finished or awaits an answer; with `since`, once its version differs.

        Returns it as it is after `seconds`, or when the server shuts down.
        """

    async def follow(self, execution_id: str) -> Followed:
        """Return an execution to read its output in pieces."""

    async def respond(self, execution_id: str, *answers: Answer) -> Execution:
        """Answer LLM requests, all or none; returns the execution as it is then.

        Raises when a request is not open or already has another answer. The same answer again changes nothing.
        """

    async def cancel(self, execution_id: str) -> Execution:
        """End an execution, whatever it does; returns it once it has ended. A finished one stays as it is."""

    async def projects(self) -> list[ProjectInfo]:
        """Return the listed projects that the client may use, as `GET /projects` does."""

    def unready(self) -> Mapping[str, str]:
        """Return the projects that the client may use and that should be up but are not, with the reasons."""

    def check_ready(self) -> None:
        """Raise what `GET /ready` answers when the server is not ready, with the reasons that the client may know."""

    async def up(self, name: str, replicas: int) -> PoolStatus:
        """Keep `replicas` workers of a project. Returns when they are ready, or after 30 s, and goes on."""

    async def down(self, name: str) -> PoolStatus:
        """Take a project down: queued executions end, running ones get `limits.shutdown_grace`."""


class GatewayView(Protocol):
    """The gateway, for routes. They act as a request's client: `gateway.for_client(gateway.client_of(request))`."""

    def for_client(self, client: Client) -> ClientGateway:
        """Return the gateway as this client sees it. `Client()` is the operator, who sees everything."""

    def client_of(self, request: Request) -> Client:
        """Return who sent a request: `STRANGER` for a request to a public path without a valid key."""

    @property
    def has_keys(self) -> bool:
        """Whether the server requires keys; if not, every client is the operator."""

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project, by the project's name.

        Clients make up the names of other projects, those that `default_backend` serves: do not keep each of them.
        """
