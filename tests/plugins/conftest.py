"""A backend, a mediator, and plugins that register them."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from airlock.plugins import BACKEND
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source

SEE = r" \(see docs/plugins\.md, ([^)]+)\)"
DOCS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


class EchoBackend(Backend[BackendSettings]):
    type = "echo"

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> Pool:
        return Pool(replicas=0, idle=0)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome(result=job.code)


class ParrotMediator(Mediator[MediatorSettings]):
    type = "parrot"

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        return request.prompt


def plugin(**functions: Callable[..., Any]) -> SimpleNamespace:
    """A plugin with these hooks, each marked."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


def offering(*backends: object) -> SimpleNamespace:
    return plugin(airlock_register_backends=lambda: list(backends))


def error_of(broken: object) -> str:
    """Register something broken beside something sound; returns the complaint."""
    plugins = Plugins()
    plugins.register(broken, Source("broken", "airlock-broken", "0.3"))
    plugins.register(offering(EchoBackend), Source("echo", "airlock-echo", "1.0"))
    (told,) = plugins.broken
    assert str(told).startswith("airlock-broken 0.3 is broken: ")
    assert list(plugins.of(BACKEND)) == ["echo"], "the sound one is not hurt"
    for section in re.findall(SEE, told.error):
        assert f"# {section}\n" in DOCS
    return re.sub(SEE, "", told.error)


def commanding(*apps: object) -> SimpleNamespace:
    return plugin(airlock_register_commands=lambda: list(apps))
