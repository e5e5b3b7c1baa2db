"""What a plugin that adds routes may know of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gateway import Gateway
    from .keys import Client
    from .models import ProjectInfo


class GatewayView:
    """A look at the gateway, for routes: it changes nothing and does no I/O. For events use the observing hooks.

    A route finds who asks in `request.state.client`, a `Client`.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def projects(self, client: Client) -> list[ProjectInfo]:
        """Return the listed projects that this client may use, as they are now. `Client()` may use all of them."""
        return [project for project in self._gateway.projects.look() if client.may_use(project.name)]

    def unready(self, client: Client) -> Mapping[str, str]:
        """Return, of the projects that this client may use, those that shall be up and are not, and why."""
        return {name: reason for name, reason in self._gateway.projects.unready().items() if client.may_use(name)}

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project, by the project's name.

        Names of other projects, those that `default_backend` serves, are made up by clients: do not keep each of them.
        """
        return {name: project.backend.type for name, project in self._gateway.config.projects.items()}
