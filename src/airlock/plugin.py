"""One plugin: where it comes from, what it registers, and what is wrong with it."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pluggy

from . import hookspecs
from .backend import Backend, BackendSettings
from .limits import ENFORCED_BY_BACKEND
from .mediation import Mediator, MediatorSettings
from .store import Store, StoreSettings

if TYPE_CHECKING:
    from pydantic import BaseModel

GROUP: Final = "airlock"
EXTEND_APP: Final = "airlock_extend_app"
HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("airlock_"))

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from. `name` is that of its entry point."""

    name: str
    distribution: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        """Name the distribution with its version, as in `airlock-mock 0.1.0`."""
        return f"{self.distribution} {self.version}" if self.distribution else self.name


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that can be used, and what it registers. `observes` names the events that it is told of.

    `extends_app`: it wants to add routes.
    """

    source: Source
    hooks: pluggy.PluginManager = field(repr=False)  # one for each plugin: a fault of one stays its own
    backends: Mapping[str, type[Backend[Any]]]
    mediators: Mapping[str, type[Mediator[Any]]]
    stores: Mapping[str, type[Store[Any]]]
    projects: Mapping[str, Mapping[str, Any]]
    observes: tuple[str, ...]
    extends_app: bool


class PluginError(Exception):
    """Raised by `examine` when a plugin breaks its contract; becomes a `BrokenPlugin`."""


def examine(plugin: object, source: Source) -> Plugin:
    """Call the hooks that register things. Raises PluginError when one of the plugin's hooks breaks its contract."""
    _check_functions(plugin)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from None
    return Plugin(
        source=source,
        hooks=manager,
        backends=_by_type(manager, "airlock_register_backends", Backend, BackendSettings),
        mediators=_by_type(manager, "airlock_register_mediators", Mediator, MediatorSettings),
        stores=_by_type(manager, "airlock_register_stores", Store, StoreSettings),
        projects=_projects(manager),
        observes=tuple(
            name
            for name in HOOKS
            if "_register_" not in name and name != EXTEND_APP and getattr(manager.hook, name).get_hookimpls()
        ),
        extends_app=bool(manager.hook.airlock_extend_app.get_hookimpls()),
    )


def _check_functions(plugin: object) -> None:
    """Find what pluggy says nothing about, or says badly."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        options = getattr(function, f"{GROUP}_impl", None)
        if options is None:
            if name.startswith("airlock_"):
                raise PluginError(f"{name} is not marked with @airlock.hookimpl (rename it if it is no hook)")
            continue
        hook = options["specname"] or name
        if hook not in HOOKS and not options["optionalhook"]:
            near = get_close_matches(hook, HOOKS, 1)
            raise PluginError(
                f"unknown hook {hook}; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(HOOKS)}")
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise PluginError(f"{name} is an async function: hooks are plain functions that return at once")
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(f"{name} is a wrapper: plugins are called one by one, there is nothing to wrap")
        if "_register_" not in hook and inspect.isgeneratorfunction(function):
            raise PluginError(f"{name} is a generator, so its body would never run: make it a plain function")


def _results(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    caller = getattr(manager.hook, hook)
    results: list[Any] = caller()
    if len(results) < len(caller.get_hookimpls()):  # pluggy drops None
        raise PluginError(f"{hook} returned None; a return is missing")
    return results


def _by_type(manager: pluggy.PluginManager, hook: str, contract: type, settings: type[BaseModel]) -> Mapping[str, Any]:
    found: dict[str, type] = {}
    for result in _results(manager, hook):
        if isinstance(result, type):
            raise PluginError(f"{hook} returned the class {result.__name__}; return a list: [{result.__name__}]")
        if not isinstance(result, Iterable) or isinstance(result, str):
            raise PluginError(f"{hook} returned {type(result).__name__}; return a list of classes")
        for item in result:
            if not (isinstance(item, type) and issubclass(item, contract)):
                raise PluginError(
                    f"{hook} returned {_named(item)}, which is no subclass of airlock.{contract.__name__}"
                )
            word = _checked_word(item, settings)
            if word in found:
                raise PluginError(f"{_named(found[word])} and {_named(item)} have the same type {word!r}")
            found[word] = item
    return MappingProxyType(found)


def _checked_word(cls: Any, settings: type[BaseModel]) -> str:
    """Check a class against its contract, and return its word in airlock.yaml."""
    if inspect.isabstract(cls):
        raise PluginError(f"{_named(cls)} does not define {', '.join(sorted(cls.__abstractmethods__))}")
    word = getattr(cls, "type", None)
    if word is None:
        raise PluginError(f"{_named(cls)} has no `type`, the word for it in airlock.yaml")
    if not isinstance(word, str) or not _TYPE.fullmatch(word):
        raise PluginError(f"{_named(cls)}.type is {word!r}; it must be a word of letters, digits, '.', '_' and '-'")
    options = getattr(cls, "Settings", None)
    if not (isinstance(options, type) and issubclass(options, settings)):
        raise PluginError(f"{_named(cls)}.Settings is no subclass of airlock.{settings.__name__}")
    if "type" in options.model_fields:
        raise PluginError(f"{_named(options)} has a field `type`, which airlock.yaml needs for the name of the plugin")
    if issubclass(cls, Backend):
        _check_backend(cls)
    return word


def _check_backend(cls: type[Backend[Any]]) -> None:
    if not isinstance(cls.runs_code, bool):
        raise PluginError(f"{_named(cls)}.runs_code must be True or False")
    if not isinstance(cls.enforces, AbstractSet):
        raise PluginError(f"{_named(cls)}.enforces must be a frozenset of names of limits")
    if unknown := cls.enforces - ENFORCED_BY_BACKEND:
        raise PluginError(
            f"{_named(cls)}.enforces names {', '.join(sorted(map(str, unknown)))}; "
            f"a backend enforces {', '.join(sorted(ENFORCED_BY_BACKEND))}"
        )


def _projects(manager: pluggy.PluginManager) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for result in _results(manager, "airlock_register_projects"):
        if not isinstance(result, Mapping) or not all(isinstance(project, Mapping) for project in result.values()):
            raise PluginError(
                "airlock_register_projects must return a mapping of names to mappings, as in airlock.yaml"
            )
        found.update(result)
    return MappingProxyType(found)


def _named(thing: object) -> str:
    return thing.__qualname__ if isinstance(thing, type) else f"{type(thing).__name__} {thing!r:.100}"


def described(error: BaseException) -> str:
    """Say in one line what plugin code raised, and where. For the `except` clause around the call into the plugin."""
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)[1:]
    places = [
        f"{Path(frame.filename).name}, line {frame.lineno}" for frame in frames if "importlib" not in frame.filename
    ]
    return f"{message} ({places[-1]})" if places else message
