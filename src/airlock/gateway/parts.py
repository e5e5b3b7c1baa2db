"""The backend and mediator of a project. If a plugin fails to make one, only that project is down, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airlock.backends import BrokenBackend
from airlock.errors import MakingFailed
from airlock.llm import AgentMediator, MediatorSettings
from airlock.plugins import make

if TYPE_CHECKING:
    from airlock.backends import Backend
    from airlock.config import ProjectConfig
    from airlock.llm import Mediator


def make_parts(config: ProjectConfig) -> tuple[Backend[Any], Mediator[Any]]:
    """Make a project's backend and mediator; if one fails, return stand-ins that keep the project down."""
    project = config.project
    try:
        return (
            make("backend", config.backend, project, config.backend_settings),
            make("mediator", config.mediator, project, config.mediator_settings),
        )
    except MakingFailed as failure:
        return BrokenBackend(config.backend, project, config.backend_settings, failure), AgentMediator(
            project, MediatorSettings()
        )
