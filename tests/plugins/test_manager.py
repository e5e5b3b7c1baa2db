"""Working plugins, and broken ones of every known kind: each is named with the reason, and does no harm."""

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from typer import Typer

from airlock import (
    AskAgent,
    Backend,
    BackendSettings,
    ExecutionResult,
    Job,
    LLMRequest,
    Mediator,
    MediatorSettings,
    Outcome,
    Pool,
    Run,
    Worker,
    hookimpl,
)
from airlock.models import ExecutionStatus
from airlock.plugins import (
    BACKEND,
    COMMAND,
    MEDIATOR,
    ExecutionFinished,
    LLMAnswered,
    LLMRequested,
    PoolChanged,
    notify_observers,
)
from airlock.plugins import manager as plugins_module
from airlock.plugins.events import HOOK_OF, Event
from airlock.plugins.manager import Plugins, Provided
from airlock.plugins.plugin import Source

FAKES = Path(__file__).parents[1] / "data" / "distributions"
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


# --- what works ----------------------------------------------------------------------------------------------------


def test_core_provides_the_agent_as_a_plugin() -> None:
    plugins = Plugins()
    assert list(plugins.of(MEDIATOR)) == ["agent"]
    assert plugins.of(MEDIATOR)["agent"].source.distribution == "airlock-core"
    assert plugins.broken == []


def test_registered_classes_are_found_by_type_with_their_source() -> None:
    plugins = Plugins()
    source = Source("echo", "airlock-echo", "1.0")
    plugins.register(
        plugin(airlock_register_backends=lambda: [EchoBackend], airlock_register_mediators=lambda: [ParrotMediator]),
        source,
    )
    assert plugins.of(BACKEND)["echo"].value is EchoBackend
    assert plugins.of(BACKEND)["echo"].source == source
    assert plugins.of(MEDIATOR)["parrot"].value is ParrotMediator
    assert str(plugins.of(MEDIATOR)["parrot"].source) == "airlock-echo 1.0"


def test_sources_list_what_each_plugin_registers() -> None:
    plugins = Plugins()
    plugins.register(
        plugin(
            airlock_register_backends=lambda: [EchoBackend],
            airlock_register_projects=lambda: {"demo": {"backend": "echo"}},
            airlock_pool_changed=lambda event: None,
        ),
        Source("echo", "airlock-echo", "1.0"),
    )
    echo = plugins.sources[-1]
    assert (list(echo.offers["backend"]), list(echo.offers["mediator"]), list(echo.projects)) == (
        ["echo"],
        [],
        ["demo"],
    )
    assert echo.observes == ("airlock_pool_changed",)


def test_generator_may_register() -> None:
    def backends() -> Iterator[type[EchoBackend]]:
        yield EchoBackend

    plugins = Plugins()
    plugins.register(plugin(airlock_register_backends=backends))
    assert list(plugins.of(BACKEND)) == ["echo"]


def test_hook_of_a_later_version_may_be_optional() -> None:
    plugins = Plugins()
    later = hookimpl(optionalhook=True)(lambda: None)
    plugins.register(SimpleNamespace(airlock_register_secrets=later, **vars(offering(EchoBackend))))
    assert plugins.broken == []
    assert list(plugins.of(BACKEND)) == ["echo"]


def test_projects_are_merged(caplog: pytest.LogCaptureFixture) -> None:
    plugins = Plugins()
    plugins.register(plugin(airlock_register_projects=lambda: {"a": {"backend": "one"}}), Source("one"))
    plugins.register(
        plugin(airlock_register_projects=lambda: {"a": {"backend": "two"}, "b": {"backend": "two"}}), Source("two")
    )
    assert plugins.projects() == {"a": {"backend": "one"}, "b": {"backend": "two"}}
    assert "project 'a' of plugin two is ignored" in caplog.text


# --- what is broken ------------------------------------------------------------------------------------------------


def test_entry_point_at_something_without_hooks_is_reported() -> None:
    module = ModuleType("airlock_empty")
    assert error_of(module).startswith("airlock_empty has no hook: name the module with the functions that are marked")
    assert error_of(SimpleNamespace(hooks=5)).startswith("this SimpleNamespace has no hook")


@pytest.mark.parametrize(("cls", "kind"), [(EchoBackend, "backends"), (ParrotMediator, "mediators")])
def test_entry_point_at_the_class_itself_is_reported(cls: type, kind: str) -> None:
    assert error_of(cls) == (
        f"it is the class {cls.__name__}: name the module with airlock_register_{kind}, which returns [{cls.__name__}]"
    )


def test_function_without_the_marker_is_reported() -> None:
    def airlock_register_backends() -> list[type[EchoBackend]]:
        return [EchoBackend]

    assert "airlock_register_backends is not marked with @airlock.hookimpl" in error_of(
        SimpleNamespace(airlock_register_backends=airlock_register_backends)
    )


def test_mistyped_hook_is_reported_with_the_one_that_was_meant() -> None:
    error = error_of(plugin(airlock_register_backend=lambda: [EchoBackend]))
    assert error == "unknown hook airlock_register_backend; did you mean airlock_register_backends?"


def test_mistyped_argument_is_reported() -> None:
    error = error_of(plugin(airlock_pool_changed=lambda evnt: None))
    assert error == (
        "airlock_pool_changed takes evnt, an argument that airlock_pool_changed does not have; did you mean event?"
    )


def test_unknown_argument_is_reported_with_those_that_there_are() -> None:
    error = error_of(plugin(airlock_execution_finished=lambda whatever: None))
    assert error.endswith("takes whatever, an argument that airlock_execution_finished does not have; it has: event")


@pytest.mark.parametrize(
    ("hook", "function", "asked", "read"),
    [
        ("airlock_execution_finished", lambda project, result: None, "project, result", "event.project, event.result"),
        ("airlock_llm_answered", lambda event, response: None, "response", "event.response"),
    ],
)
def test_arguments_that_are_fields_of_the_event_are_reported_with_what_to_write(
    hook: str, function: Callable[..., None], asked: str, read: str
) -> None:
    told = error_of(plugin(**{hook: function}))
    assert told == f"{hook} takes {asked}; {hook} has one argument: write {hook}(event), and read {read}"


def test_argument_with_a_default_is_the_plugins_own() -> None:
    plugins = Plugins()
    plugins.register(plugin(airlock_pool_changed=lambda event, seen=(): None))
    assert plugins.broken == []


def test_missing_return_is_reported() -> None:
    assert error_of(plugin(airlock_register_backends=lambda: None)) == (
        "airlock_register_backends returned None; a return is missing"
    )


def test_class_instead_of_a_list_is_reported() -> None:
    assert error_of(plugin(airlock_register_backends=lambda: EchoBackend)) == (
        "airlock_register_backends returned the class EchoBackend; return a list: [EchoBackend]"
    )


@pytest.mark.parametrize("value", [5, "echo"])
def test_return_that_is_no_list_is_reported(value: object) -> None:
    assert "return a list of classes" in error_of(plugin(airlock_register_backends=lambda: value))


@pytest.mark.parametrize("item", [dict, ParrotMediator, "echo", None])
def test_item_that_is_no_backend_is_reported(item: object) -> None:
    assert "is not a subclass of airlock.Backend" in error_of(offering(item))


def test_abstract_backend_is_reported_with_what_it_lacks() -> None:
    class Half(Backend[BackendSettings]):
        type = "half"

        async def scale(self, replicas: int) -> None:
            pass

    assert error_of(offering(Half)).endswith("Half does not define execute, pool")


def test_backend_without_type_is_reported() -> None:
    class Nameless(EchoBackend):
        type = None  # type: ignore[assignment]

    assert "has no `type`" in error_of(offering(Nameless))


@pytest.mark.parametrize("word", ["", "two words", 5, "x/y", "-x", "x\n"])
def test_backend_with_a_type_that_is_no_word_is_reported(word: Any) -> None:
    class Odd(EchoBackend):
        type = word

    assert "and must be a word" in error_of(offering(Odd))


def test_enforces_with_an_unknown_limit_is_reported() -> None:
    class Strong(EchoBackend):
        type = "strong"
        enforces = frozenset({"memory", "timeout"})

    error = error_of(offering(Strong))
    assert "enforces has unknown names: timeout (known: cpus, file_size" in error


def test_enforces_that_is_text_is_reported() -> None:
    class Strong(EchoBackend):
        type = "strong"
        enforces = "memory"  # type: ignore[assignment]

    assert "enforces must be a frozenset" in error_of(offering(Strong))


def test_runs_code_that_is_no_bool_is_reported() -> None:
    class Unclear(EchoBackend):
        type = "unclear"
        runs_code = None  # type: ignore[assignment]

    assert "runs_code is None, and must be True or False" in error_of(offering(Unclear))


def test_settings_of_another_base_are_reported() -> None:
    class Loose(BaseModel):
        pass

    class Odd(EchoBackend):
        type = "odd"
        Settings = Loose  # type: ignore[assignment]

    assert "is not a subclass of airlock.BackendSettings" in error_of(offering(Odd))


def test_settings_with_a_field_named_type_are_reported() -> None:
    class Typed(BackendSettings):
        type: str = "x"

    class Odd(EchoBackend):
        type = "odd"
        Settings = Typed

    assert "has a field `type`" in error_of(offering(Odd))


def test_two_classes_of_one_type_in_one_plugin_are_reported() -> None:
    class Again(EchoBackend):
        pass

    assert "are both the backend 'echo'" in error_of(offering(EchoBackend, Again))


@pytest.mark.parametrize("hook", ["airlock_register_backends", "airlock_execution_finished"])
def test_async_hook_is_reported(hook: str) -> None:
    async def function() -> None:
        pass

    assert f"{hook} is an async function" in error_of(plugin(**{hook: function}))


def test_observer_that_is_a_generator_is_reported() -> None:
    def pool_changed(event: PoolChanged) -> Iterator[None]:
        yield

    assert "its body would never run" in error_of(plugin(airlock_pool_changed=pool_changed))


def test_wrapper_is_reported() -> None:
    def wrapper() -> Iterator[None]:
        yield

    marked = hookimpl(wrapper=True)(wrapper)
    assert "is a wrapper" in error_of(SimpleNamespace(airlock_register_backends=marked))


def test_every_wrong_hook_of_a_plugin_is_named() -> None:
    async def requested(event: object) -> None:
        """Never called."""

    told = error_of(
        plugin(
            airlock_execution_finished=lambda project, result: None,
            airlock_llm_requested=requested,
            airlock_pool_chaged=lambda event: None,
        )
    )
    assert "airlock_execution_finished takes project, result" in told
    assert "requested is an async function" in told
    assert "unknown hook airlock_pool_chaged; did you mean airlock_pool_changed?" in told


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), SystemExit(1)])
def test_hook_that_raises_is_reported_with_file_and_line(error: BaseException) -> None:
    def backends() -> Iterable[type[EchoBackend]]:
        raise error

    told = error_of(plugin(airlock_register_backends=backends))
    assert told.startswith(f"failed to register: {type(error).__name__}: ")
    assert "(test_manager.py, line " in told


def test_worker_that_is_refused_is_reported_with_its_own_place_and_not_with_cores() -> None:
    def backends() -> Iterable[type[EchoBackend]]:
        type("Wrong", (Worker,), {"run": lambda self, job: None})
        return [EchoBackend]

    told = error_of(plugin(airlock_register_backends=backends))
    assert "Wrong.run is not async" in told
    assert "(test_manager.py, line " in told


@pytest.mark.parametrize("value", [[], {"a": 5}])
def test_projects_in_another_shape_are_reported(value: object) -> None:
    assert "airlock_register_projects must return a mapping" in error_of(
        plugin(airlock_register_projects=lambda: value)
    )


def test_broken_plugin_is_wholly_out() -> None:
    plugins = Plugins()
    plugins.register(
        plugin(airlock_register_backends=lambda: [EchoBackend], airlock_register_mediators=lambda: ParrotMediator)
    )
    assert len(plugins.broken) == 1
    assert dict(plugins.of(BACKEND)) == {}
    assert list(plugins.of(MEDIATOR)) == ["agent"]


def test_two_providers_of_one_type_are_both_out_and_both_named() -> None:
    class Other(EchoBackend):
        pass

    plugins = Plugins()
    plugins.register(offering(EchoBackend), Source("echo", "airlock-echo", "1.0"))
    plugins.register(offering(Other), Source("echo", "airlock-reverb", "2.0"))
    assert dict(plugins.of(BACKEND)) == {}
    assert [str(broken.source) for broken in plugins.broken] == ["airlock-echo 1.0", "airlock-reverb 2.0"]
    for broken in plugins.broken:
        assert "backend 'echo' is provided by " in broken.error
        assert "airlock-echo 1.0" in broken.error
        assert "airlock-reverb 2.0" in broken.error
        assert "uninstall all but one" in broken.error


def test_third_provider_of_a_type_is_out_as_well() -> None:
    plugins = Plugins()
    for number in range(3):
        plugins.register(offering(type("Echo", (EchoBackend,), {})), Source(f"p{number}"))
    assert dict(plugins.of(BACKEND)) == {}
    assert len(plugins.broken) == 3


def test_type_of_core_cannot_be_taken() -> None:
    class Impostor(ParrotMediator):
        type = "agent"

    plugins = Plugins()
    plugins.register(plugin(airlock_register_mediators=lambda: [Impostor]), Source("impostor"))
    assert plugins.of(MEDIATOR)["agent"].source.distribution == "airlock-core"
    assert [broken.source.name for broken in plugins.broken] == ["impostor"]


# --- commands ------------------------------------------------------------------------------------------------------


def commanding(*apps: object) -> SimpleNamespace:
    return plugin(airlock_register_commands=lambda: list(apps))


def test_a_command_is_found_by_the_name_of_its_app() -> None:
    app = Typer(name="queue")
    plugins = Plugins()
    plugins.register(commanding(app), Source("queue", "airlock-queue", "1.0"))
    assert plugins.of(COMMAND)["queue"] == Provided(app, Source("queue", "airlock-queue", "1.0"))


@pytest.mark.parametrize(
    ("app", "told"),
    [
        (print, "builtin_function_or_method <built-in function print> is not a typer.Typer"),
        (Typer(), 'a typer app has no name: write typer.Typer(name="...")'),
        (Typer(name="Two words"), "the name of a typer app is 'Two words', and must be a word of lower-case letters"),
        (Typer(name="serve"), "the command 'serve' is core's: choose another name"),
    ],
)
def test_what_is_no_command_is_reported(app: object, told: str) -> None:
    assert error_of(commanding(app)).startswith(told)


def test_an_app_instead_of_a_list_is_reported() -> None:
    error = error_of(plugin(airlock_register_commands=lambda: Typer(name="queue")))
    assert error == "airlock_register_commands returned Typer; return a list of typer apps"


def test_two_apps_of_one_name_in_one_plugin_are_reported() -> None:
    assert "are both the command 'queue'" in error_of(commanding(Typer(name="queue"), Typer(name="queue")))


def test_a_backend_and_a_command_may_have_the_same_word() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend))
    plugins.register(commanding(Typer(name="echo")))
    assert plugins.broken == []


# --- an unknown type -----------------------------------------------------------------------------------------------


def test_unknown_type_names_what_is_known_and_what_is_broken() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend), Source("echo", "airlock-echo", "1.0"))
    plugins.register(offering(5), Source("bad", "airlock-bad", "0.1"))
    told = plugins.unknown(BACKEND, "bad")
    assert "available: echo (airlock-echo 1.0)" in told
    assert "airlock-bad 0.1 is broken: int 5 is not a subclass of airlock.Backend" in told


@pytest.mark.parametrize(("word", "meant"), [("docker", ""), ("dokcer", "; did you mean 'docker'?")])
def test_unknown_type_that_a_plugin_of_ours_has_gets_the_command(
    monkeypatch: pytest.MonkeyPatch, word: str, meant: str
) -> None:
    monkeypatch.setattr(plugins_module, "_is_installed", lambda name: name != "airlock-docker")
    told = Plugins().unknown(BACKEND, word)
    assert told.startswith(f"no backend {word!r}{meant}; pip install 'airlock-core[docker]'; available: ")


@pytest.mark.parametrize("word", ["kubernetes", "all", "testing", "x; rm -rf /"])
def test_unknown_type_gets_no_command_to_install_what_somebody_else_may_publish(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(plugins_module, "_is_installed", lambda name: False)
    assert "pip install" not in Plugins().unknown(BACKEND, word)


def test_mistyped_type_gets_the_right_one_and_no_command_to_install_a_strangers_package() -> None:
    plugins = Plugins()
    plugins.register(offering(EchoBackend))
    told = plugins.unknown(BACKEND, "ecko")
    assert "did you mean 'echo'?" in told
    assert "pip install" not in told


# --- observers -----------------------------------------------------------------------------------------------------


def observing(seen: list[Event]) -> SimpleNamespace:
    def note(event: Event) -> None:
        seen.append(event)

    return plugin(**dict.fromkeys(HOOK_OF.values(), note))


EVENTS: list[Event] = [
    PoolChanged(project="p", pool=Pool(replicas=1, idle=1), seconds=0.5),
    LLMRequested(project="p", execution_id="1", request=LLMRequest(prompt="why")),
    LLMAnswered(project="p", execution_id="1", request=LLMRequest(prompt="why"), response="because"),
    ExecutionFinished(project="p", result=ExecutionResult(execution_id="1", status=ExecutionStatus.completed)),
]


def test_observers_see_every_event() -> None:
    seen: list[Event] = []
    plugins = Plugins()
    plugins.register(observing(seen))
    for event in EVENTS:
        notify_observers(plugins, event)
    assert seen == EVENTS


def test_an_observer_may_leave_the_event_out() -> None:
    seen: list[str] = []
    plugins = Plugins()
    plugins.register(plugin(airlock_pool_changed=lambda: seen.append("changed")))
    notify_observers(plugins, EVENTS[0])
    assert seen == ["changed"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_observer_can_change_what_the_next_one_sees(event: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        event.project = "another"
    with pytest.raises((AttributeError, TypeError)):
        event.mine = 1


def test_observer_that_raises_is_logged_with_its_traceback_and_hurts_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(event: PoolChanged) -> None:
        raise ZeroDivisionError(event.project)

    seen: list[Event] = []
    plugins = Plugins()
    plugins.register(plugin(airlock_pool_changed=fail), Source("bad", "airlock-bad", "0.1"))
    plugins.register(observing(seen))
    notify_observers(plugins, EVENTS[0])
    assert len(seen) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "plugin airlock-bad 0.1 failed in airlock_pool_changed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


# --- discovery, with distributions on disk --------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a site directory for fake distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, *names: str) -> None:
    for name in names:
        for path in FAKES.glob(f"*airlock_{name}*"):
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, site / path.name)


def test_discovery_finds_an_installed_plugin(site: Path) -> None:
    install(site, "good")
    plugins = Plugins.discover()
    assert plugins.of(BACKEND)["good"].source == Source("good", "airlock-good", "1.2")
    assert plugins.broken == []


def test_discovery_reports_every_plugin_that_cannot_be_imported_and_loads_the_others(site: Path) -> None:
    install(site, "importerror", "missing", "exits", "good")
    plugins = Plugins.discover()
    assert "good" in plugins.of(BACKEND)
    assert {str(broken.source): broken.error for broken in plugins.broken} == {
        "airlock-exits 0.1": (
            "fake_airlock_exits cannot be imported: SystemExit: unsupported machine (fake_airlock_exits.py, line 5)"
        ),
        "airlock-importerror 0.1": (
            "fake_airlock_importerror cannot be imported: ModuleNotFoundError: "
            "No module named 'package_that_nobody_has' (fake_airlock_importerror.py, line 3)"
        ),
        "airlock-missing 0.1": (
            "fake_airlock_missing:hooks cannot be imported: ModuleNotFoundError: No module named 'fake_airlock_missing'"
        ),
    }
