"""Classes that plugins register: every fault is found before the first execution, and sound ones are accepted."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, field_validator, model_validator

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
    PooledBackend,
    Project,
    Run,
    StoreSettings,
    Worker,
)
from airlock.plugins.classes import BACKEND, KINDS, ClassKind, PluginError
from airlock.stores.memory import MemoryStore


class Echo(Backend[BackendSettings]):
    type = "echo"

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> Pool:
        return Pool(replicas=0, idle=0)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome(result=job.code)


class Parrot(Mediator[MediatorSettings]):
    type = "parrot"

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        return request.prompt


class Pooled(PooledBackend[BackendSettings]):
    type = "pooled"

    async def start_worker(self) -> Worker:
        raise NotImplementedError


class Kept(MemoryStore):
    type = "kept"


def kind_of(base: type) -> ClassKind[Any]:
    (kind,) = (kind for kind in KINDS if isinstance(kind, ClassKind) and issubclass(base, kind.base))
    return kind


def faults_of(base: type, **attributes: Any) -> str:
    """Return the complaint about a subclass with these attributes; empty if there is none."""
    try:
        kind_of(base).check(type("Mine", (base,), {"__module__": __name__, **attributes}))
    except PluginError as error:
        return str(error)
    return ""


def plain(*_: object, **__: object) -> None:
    pass


async def awaited(*_: object, **__: object) -> None:
    pass


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


# --- what is right --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sound", [Echo, Parrot, Pooled])
def test_sound_class_is_taken_by_its_word(sound: Any) -> None:
    assert kind_of(sound).check(sound) == sound.type


def test_isolation_that_nobody_wrote_says_when_no_code_runs() -> None:
    class Quiet(Echo):
        runs_code = False

    shown = [each(Project(name="p"), BackendSettings()).isolation for each in (Echo, Quiet)]
    assert shown == ["none", "runs no code"]


def test_parameters_may_have_other_names_and_more_of_them_defaults() -> None:
    async def execute(self: object, what: Job, to: Run, retries: int = 3, *, trace: bool = False) -> Outcome:
        return Outcome()

    def init(self: object, project: Project, settings: BackendSettings, client: object = None) -> None:
        pass

    assert faults_of(Echo, execute=execute, __init__=init) == ""


@pytest.mark.parametrize("method", [traced(Echo.execute), staticmethod(awaited)])
def test_method_that_is_made_by_a_decorator_is_taken(method: object) -> None:
    assert faults_of(Echo, execute=method) == ""


def test_methods_that_are_the_authors_own_are_nobodys_business() -> None:
    assert faults_of(Pooled, _mine=plain, helper=plain, start=awaited) == ""


def test_instance_instead_of_a_class_is_told() -> None:
    with pytest.raises(PluginError, match=r"Echo .* is not a subclass of airlock.Backend: return the class, not"):
        BACKEND.check(Echo(Project(name="p"), BackendSettings()))


# --- methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (Echo, "scale"),
        (Echo, "execute"),
        (Echo, "close"),
        (Pooled, "start_worker"),
        (Parrot, "complete"),
        (Kept, "create"),
        (Kept, "open"),
    ],
)
def test_method_that_is_not_async_is_told(base: type, name: str) -> None:
    assert faults_of(base, **{name: plain}) == (f"Mine.{name} is not async: core awaits it, so make it an `async def`")


@pytest.mark.parametrize(("base", "name"), [(Echo, "pool"), (Pooled, "lost")])
def test_method_that_is_async_and_must_not_be_is_told(base: type, name: str) -> None:
    assert f"Mine.{name} is async: core calls it without await" in faults_of(base, **{name: awaited})


def test_mediator_that_yields_is_told() -> None:
    async def complete(self: object, request: LLMRequest, ask_agent: object) -> Any:
        yield "a token"

    assert "Mine.complete is a generator (it has a `yield`)" in faults_of(Parrot, complete=complete)


async def too_few(self: object, one: object) -> None:
    pass


async def too_many(self: object, one: object, two: object, three: object) -> None:
    pass


async def unknown(self: object, *, project: str) -> None:
    pass


@pytest.mark.parametrize(
    ("base", "name", "method", "told"),
    [
        (Echo, "execute", too_few, "(self, one) cannot be called as core calls it, execute(job, run): too many pos"),
        (Echo, "execute", too_many, "execute(job, run): missing a required argument: 'three'"),
        (Parrot, "complete", too_few, "complete(request, ask_agent): too many positional arguments"),
        (Parrot, "__init__", lambda self: None, "__init__(project, settings): too many positional arguments"),
        (Kept, "page", unknown, "page(listing): too many positional arguments"),
        (Kept, "__init__", lambda self, settings: None, "__init__(settings, directory): too many positional"),
    ],
)
def test_other_parameters_are_told(base: type, name: str, method: object, told: str) -> None:
    assert told in faults_of(base, **{name: method})


@pytest.mark.parametrize("value", [None, property(plain), "text"])
def test_method_that_is_none_is_told(value: object) -> None:
    assert f"Mine.execute is a {type(value).__name__}, not a method" in faults_of(Echo, execute=value)


def test_method_that_hides_one_of_the_pools_own_is_told() -> None:
    assert "Mine._start replaces a private method of airlock.PooledBackend" in faults_of(Pooled, _start=awaited)


def test_everything_is_told_at_once() -> None:
    told = faults_of(Echo, scale=plain, pool=awaited, runs_code="no", enforces={"disk"}, uses={"pip"}, Settings=dict)
    assert [fault.split()[0] for fault in told.split("; ")] == [
        "Mine.scale",
        "Mine.pool",
        "Mine.Settings",
        "Mine.runs_code",
        "Mine.enforces",
        "Mine.uses",
    ]


# --- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "attributes", "told"),
    [
        (Echo, {"type": None}, "has no `type`"),
        (Parrot, {"type": "two words"}, "and must be a word"),
        (Kept, {"type": 5}, "and must be a word"),
        (Echo, {"type": "Mist"}, "must be a word of lower-case letters and digits, with '-' in between"),
        (Echo, {"type": "mist-"}, "and must be a word"),
        (Echo, {"Settings": MediatorSettings}, "which is not a subclass of airlock.BackendSettings"),
        (Parrot, {"Settings": BackendSettings()}, "which is not a subclass of airlock.MediatorSettings"),
        (Kept, {"Settings": None}, "which is not a subclass of airlock.StoreSettings"),
        (Echo, {"uses": "packages"}, "uses must be a frozenset of names from: packages, preload, preload_reseed"),
        (Echo, {"uses": {"package"}}, "uses has unknown names: package (known: packages, preload, preload_reseed)"),
        (Kept, {"is_durable": 1}, "is_durable is 1, and must be True or False"),
    ],
)
def test_attribute_that_core_cannot_read_is_told(base: type, attributes: dict[str, Any], told: str) -> None:
    assert told in faults_of(base, **attributes)


def test_type_that_is_another_plugins_is_told_and_does_not_clash_with_it() -> None:
    elsewhere = type("Elsewhere", (Echo,), {"type": "local", "__module__": "airlock_elsewhere.backend"})
    assert faults_of(elsewhere) == (
        "Mine does not define its own `type`: 'local' is inherited from airlock_elsewhere.backend.Elsewhere"
    )


def test_settings_in_brackets_that_are_not_said_to_core_are_told() -> None:
    class Options(MediatorSettings):
        marks: int = 1

    class Shout(Mediator[Options]):
        type = "shout"

        async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
            return request.prompt

    assert faults_of(Shout).endswith(
        "Options, but its Settings is MediatorSettings: write `Settings = " + Options.__qualname__ + "`"
    )
    assert faults_of(Shout, Settings=type("More", (Options,), {})) == ""


# --- defaults of Settings --------------------------------------------------------------------------------------------


def test_default_that_its_own_field_refuses_is_told() -> None:
    class Options(StoreSettings):
        path: Path = "x"  # type: ignore[assignment]  # an operator could write that, too
        size: int = Field(0, ge=1)
        name: str = None  # type: ignore[assignment]

    class Store(Kept):
        type = "mine"
        Settings = Options  # type: ignore[assignment]

    told = faults_of(Store)
    assert "Options.size is not valid for its own field: Input should be greater than or equal to 1" in told
    assert "Options.name is not valid for its own field: Input should be a valid string" in told
    assert "path" not in told


def test_options_without_a_default_and_those_that_belong_together_are_the_operators_business() -> None:
    class Options(BackendSettings):
        url: str
        token: str | None = None
        file: str | None = None
        made: str = Field(default_factory=lambda: os.environ["A_NAME_THAT_NOBODY_SET"])

        @field_validator("token")
        @classmethod
        def _strip(cls, token: str) -> str:
            return token.strip()  # runs for what is written only

        @model_validator(mode="after")
        def _one_of_them(self) -> "Options":
            if not (self.token or self.file):
                raise ValueError("token or file")
            return self

    assert faults_of(Echo, Settings=Options) == ""
