"""What plugins that add routes may see of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.models import ProjectInfo
    from airlock.plugins import Client

    from .gateway import Gateway


class View:
    """The gateway's `GatewayView`. Methods are documented there."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def projects(self, client: Client) -> list[ProjectInfo]:
        """Return the listed projects that this client may use."""
        return [project for project in self._gateway.projects.look() if client.may_use(project.name)]

    def unready(self, client: Client) -> Mapping[str, str]:
        """Return why projects of this client are not ready."""
        return {name: reason for name, reason in self._gateway.projects.unready().items() if client.may_use(name)}

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project."""
        return {name: project.backend.type for name, project in self._gateway.config.projects.items()}
