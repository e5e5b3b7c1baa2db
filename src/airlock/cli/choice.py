"""Which project `airlock run` takes. Never one that only pretends to run the script, unless it is named."""

from pathlib import Path

from airlock.backends import Project
from airlock.config import Config, ProjectConfig
from airlock.llm import AgentMediator, MediatorSettings
from airlock.plugins import Plugins

from .terminal import fail, say

BUILT_IN = "local"
INSTALL = "pip install 'airlock-core[local]'"


def choose_project(config: Config, plugins: Plugins, name: str | None) -> ProjectConfig:
    """Return the project, or end the command with what to do."""
    if config.path is None and name in (None, BUILT_IN):
        return _built_in(plugins)
    if name is not None:
        chosen = config.projects.get(name)
        if chosen is None:  # `default_backend` does not count: a mistyped name would seem to run
            known = ", ".join(sorted(config.projects)) or "none"
            fail(f"--project {name}: no such project; there are: {known}", code=2)
        return chosen
    candidates = [project for project in config.projects.values() if project.backend.runs_code]
    if len(candidates) > 1:
        names = ", ".join(sorted(project.project.name for project in candidates))
        fail(f"several projects run code; choose with --project: {names}", code=2)
    if not candidates:
        fail(f"{config.path}: no project runs code; {INSTALL}, and list a project with 'backend: local'", code=2)
    return candidates[0]


def _built_in(plugins: Plugins) -> ProjectConfig:
    provided = plugins.backends.get(BUILT_IN)
    if provided is None:
        fail(f"there is no airlock.yaml, and no backend that runs code is installed; {INSTALL}", code=2)
    say(f"there is no airlock.yaml in {Path.cwd()}: running in {BUILT_IN!r} with its defaults, without packages")
    return ProjectConfig(
        project=Project(name=BUILT_IN, description="What 'airlock run' uses when there is no airlock.yaml"),
        backend=provided.cls,
        backend_settings=provided.cls.Settings(),
        mediator=AgentMediator,
        mediator_settings=MediatorSettings(),
    )
