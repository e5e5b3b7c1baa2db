"""Broken plugins of every known kind: each is named with the reason, and does no harm."""

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel
from tests.plugins.conftest import EchoBackend, ParrotMediator, commanding, error_of, offering, plugin
from typer import Typer

from airlock import Backend, BackendSettings, Worker, hookimpl
from airlock.plugins import PoolChanged
from airlock.plugins.manager import Plugins


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
    assert "(test_plugin.py, line " in told


def test_worker_that_is_refused_is_reported_with_its_own_place_and_not_with_cores() -> None:
    def backends() -> Iterable[type[EchoBackend]]:
        type("Wrong", (Worker,), {"run": lambda self, job: None})
        return [EchoBackend]

    told = error_of(plugin(airlock_register_backends=backends))
    assert "Wrong.run is not async" in told
    assert "(test_plugin.py, line " in told


@pytest.mark.parametrize("value", [[], {"a": 5}])
def test_projects_in_another_shape_are_reported(value: object) -> None:
    assert "airlock_register_projects must return a mapping" in error_of(
        plugin(airlock_register_projects=lambda: value)
    )


# --- commands --------------------------------------------------------------------------------------------------------


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
