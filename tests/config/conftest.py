"""Plugins to configure, and shortcuts to load airlock.yaml in an empty folder."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field

from airlock import (
    AskAgent,
    Backend,
    BackendSettings,
    Job,
    LLMRequest,
    Mediator,
    MediatorSettings,
    Outcome,
    Pool,
    Run,
    hookimpl,
)
from airlock.config import Config, load_config
from airlock.errors import ConfigError
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source


class MockBackend(Backend[BackendSettings]):
    type = "mock"
    runs_code = False
    uses = frozenset({"packages", "preload", "preload_reseed"})

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> Pool:
        return Pool(replicas=0, idle=0)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome()


class PlainBackend(MockBackend):
    type = "plain"
    uses = frozenset()


class Mount(BackendSettings):
    source: str
    size: int = Field(1, ge=1)


class LocalSettings(BackendSettings):
    isolation: str = "full"
    mounts: list[Mount] = Field([])


class LocalBackend(MockBackend):
    type = "local"
    runs_code = True
    enforces = frozenset({"memory", "processes"})
    Settings = LocalSettings


class CannedSettings(MediatorSettings):
    answers: list[str] = Field(min_length=1)


class CannedMediator(Mediator[CannedSettings]):
    type = "canned"
    Settings = CannedSettings

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        return self.settings.answers[0]


def plugin(**returns: object) -> SimpleNamespace:
    """A plugin whose hooks return these values."""

    def hook(value: object) -> Callable[[], Any]:
        return hookimpl(lambda: value)

    return SimpleNamespace(**{f"airlock_register_{name}": hook(value) for name, value in returns.items()})


@pytest.fixture
def plugins() -> Plugins:
    plugins = Plugins()
    plugins.register(
        plugin(
            backends=[MockBackend], mediators=[CannedMediator], projects={"demo": {"replicas": 3, "backend": "mock"}}
        ),
        Source("mock", "airlock-mock", "1.0"),
    )
    plugins.register(plugin(backends=[LocalBackend]), Source("local", "airlock-local", "2.0"))
    plugins.register(plugin(backends=[PlainBackend]), Source("plain", "airlock-plain", "3.0"))
    return plugins


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, plugins: Plugins, **environ: str) -> Config:
    Path("airlock.yaml").write_text(text)
    return load_config(Path("airlock.yaml"), plugins, environ)


def problems(text: str, plugins: Plugins, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, plugins, **environ)
    return caught.value.problems


def problem_in(project: str, plugins: Plugins) -> str:
    """Return the only problem of a project in flow style, without its place."""
    (told,) = problems(f"projects: {{p: {project}}}\n", plugins)
    place, told = told.split(": ", 1)
    assert place.startswith("airlock.yaml:1:")
    return told
