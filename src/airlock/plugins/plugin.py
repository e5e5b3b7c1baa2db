"""One plugin: where it comes from, what it registers, and what is wrong with it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import pluggy

from . import hookspecs
from .classes import KINDS, ClassKind, PluginError, named
from .events import HOOK_OF

if TYPE_CHECKING:
    from .classes import Kind

GROUP: Final = "airlock"
EXTEND_APP: Final = "airlock_extend_app"
HOOKS: Final = tuple(name for name in vars(hookspecs) if name.startswith("airlock_"))


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from. `name` is that of its entry point."""

    name: str
    distribution: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        """Name the distribution and its version, as in `airlock-mock 0.1.0`."""
        return f"{self.distribution} {self.version}" if self.distribution else self.name


@dataclass(frozen=True, slots=True)
class Plugin:
    """A usable plugin, and what it registers.

    `offers` maps the name of each kind to the plugin's items by word. `observes` names its observer hooks.
    `extends_app`: it adds routes.
    """

    source: Source
    hooks: pluggy.PluginManager = field(repr=False)  # one per plugin, so that a fault affects no other
    offers: Mapping[str, Mapping[str, Any]]
    projects: Mapping[str, Mapping[str, Any]]
    observes: tuple[str, ...]
    extends_app: bool


def examine(plugin: object, source: Source) -> Plugin:
    """Call the hooks that register things. Raises PluginError when one of the plugin's hooks breaks its contract."""
    if faults := "; ".join(_faults(plugin)):
        raise PluginError(faults)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from None
    if not manager.get_hookcallers(plugin):
        raise PluginError(_no_hook(plugin))
    return Plugin(
        source=source,
        hooks=manager,
        offers=MappingProxyType({kind.name: _by_word(manager, kind) for kind in KINDS}),
        projects=_projects(manager),
        observes=tuple(hook for hook in HOOK_OF.values() if getattr(manager.hook, hook).get_hookimpls()),
        extends_app=bool(manager.hook.airlock_extend_app.get_hookimpls()),
    )


def _no_hook(plugin: object) -> str:
    for kind in KINDS:
        if isinstance(kind, ClassKind) and isinstance(plugin, type) and issubclass(plugin, kind.base):
            name = plugin.__name__
            return f"it is the class {name}: name the module with {kind.hook}, which returns [{name}]"
    name = plugin.__name__ if isinstance(plugin, (ModuleType, type)) else f"this {type(plugin).__name__}"
    return f"{name} has no hook: name the module with the functions that are marked with @airlock.hookimpl"


def _faults(plugin: object) -> Iterator[str]:
    """Find what is wrong with each function that is or may be a hook: pluggy says nothing of it, or says it badly."""
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function):
            continue
        options = getattr(function, f"{GROUP}_impl", None)
        if options is not None:
            yield from _faults_of_hook(name, function, options)
        elif name.startswith("airlock_"):
            yield f"{name} is not marked with @airlock.hookimpl (rename it if it is not a hook)"


def _faults_of_hook(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> Iterator[str]:
    hook = options["specname"] or name
    if hook not in HOOKS and not options["optionalhook"]:
        near = get_close_matches(hook, HOOKS, 1)
        yield f"unknown hook {hook}; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(HOOKS)}")
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield f"{name} is an async function: hooks are plain functions that return at once"
    elif options["wrapper"] or options["hookwrapper"]:
        yield f"{name} is a wrapper: plugins are called one at a time, so there is nothing to wrap"
    elif "_register_" not in hook and inspect.isgeneratorfunction(function):
        yield f"{name} is a generator, so its body would never run: make it a plain function"
    elif hook in HOOKS:
        yield from _faults_of_arguments(name, function, hook)


def _faults_of_arguments(name: str, function: Callable[..., Any], hook: str) -> Iterator[str]:
    known = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    strange = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.name not in known
    ]
    if not strange:
        return
    of_event = {f"event.{each.name}" for event, of in HOOK_OF.items() if of == hook for each in fields(event)}
    if moved := [f"event.{each}" for each in strange if f"event.{each}" in of_event]:
        told = f"{name} takes {', '.join(strange)}; {hook} has one argument"
        yield f"{told}: write {name}(event), and read {', '.join(moved)}"
        return
    near = get_close_matches(strange[0], known, 1)
    meant = f"; did you mean {near[0]}?" if near else f"; it has: {', '.join(known) or 'none'}"
    yield f"{name} takes {strange[0]}, an argument that {hook} does not have{meant}"


def _results(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    caller = getattr(manager.hook, hook)
    results: list[Any] = caller()
    if len(results) < len(caller.get_hookimpls()):  # pluggy drops None
        raise PluginError(f"{hook} returned None; a return is missing")
    return results


def _by_word(manager: pluggy.PluginManager, kind: Kind[Any]) -> Mapping[str, Any]:
    found: dict[str, object] = {}
    for result in _results(manager, kind.hook):
        if isinstance(result, type):
            raise PluginError(f"{kind.hook} returned the class {result.__name__}; return a list: [{result.__name__}]")
        if not isinstance(result, Iterable) or isinstance(result, str):
            raise PluginError(f"{kind.hook} returned {type(result).__name__}; return a list of {kind.items}")
        for item in result:
            word = kind.check(item)
            if word in found:
                raise PluginError(f"{named(found[word])} and {named(item)} are both the {kind.name} {word!r}")
            found[word] = item
    return MappingProxyType(found)


def _projects(manager: pluggy.PluginManager) -> Mapping[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for result in _results(manager, "airlock_register_projects"):
        if not isinstance(result, Mapping) or not all(isinstance(project, Mapping) for project in result.values()):
            raise PluginError(
                "airlock_register_projects must return a mapping of names to mappings, as in airlock.yaml"
            )
        found.update(result)
    return MappingProxyType(found)


def described(error: BaseException) -> str:
    """Say in one line what a plugin raised, and where. For the `except` clause around the call into the plugin."""
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)[1:]
    places = [
        f"{Path(frame.filename).name}, line {frame.lineno}" for frame in frames if not _is_no_plugins(frame.filename)
    ]
    return f"{message} ({places[-1]})" if places else message


def _is_no_plugins(filename: str) -> bool:
    return (
        filename.startswith("<frozen ")
        or "importlib" in filename
        or Path(filename).is_relative_to(Path(__file__).parents[1])
    )
