"""What routes may know of the server, and of who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.models import ProjectInfo


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


class GatewayView(Protocol):
    """A look at the gateway, for routes: it changes nothing and does no I/O. For events use the observing hooks.

    A route finds who asks in `request.state.client`, a `Client`.
    """

    def projects(self, client: Client) -> list[ProjectInfo]:
        """Return the listed projects that this client may use, as they are now. `Client()` may use all of them."""

    def unready(self, client: Client) -> Mapping[str, str]:
        """Return, of the projects that this client may use, those that shall be up and are not, and why."""

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project, by the project's name.

        Names of other projects, those that `default_backend` serves, are made up by clients: do not keep each of them.
        """
