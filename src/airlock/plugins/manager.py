"""Which plugins are installed, what each one offers, and which ones are broken and why.

A plugin is wholly in or wholly out: when one of its hooks is wrong, or another plugin offers the same type, nothing
that it registers is used. What is broken is data, never an exception: only a configuration that needs it fails.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import core
from .classes import PluginError
from .plugin import GROUP, Plugin, Source, described, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airlock.backends import Backend, Pool
    from airlock.llm import Mediator
    from airlock.models import ExecutionResult, LLMRequest
    from airlock.stores import Store

    from .classes import Kind

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that is installed and cannot be used."""

    source: Source
    error: str

    def __str__(self) -> str:
        """Say what is broken, and why."""
        return f"{self.source} is broken: {self.error}"


@dataclass(frozen=True, slots=True)
class Provided(Generic[T]):
    """A backend or mediator class, and who provides it."""

    cls: T
    source: Source


class Plugins:
    """All plugins. `discover` finds those that are installed; an empty one knows only what core itself provides."""

    def __init__(self) -> None:
        self.sources: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self.backends: Mapping[str, Provided[type[Backend[Any]]]] = {}
        self.mediators: Mapping[str, Provided[type[Mediator[Any]]]] = {}
        self.stores: Mapping[str, Provided[type[Store[Any]]]] = {}
        self._faulty: list[BrokenPlugin] = []
        self._sound: list[Plugin] = []
        self.register(core, Source("core", "airlock-core", metadata.version("airlock-core")))

    @classmethod
    def discover(cls) -> Plugins:
        """Load what is installed: every entry point of the group `airlock`, each by itself."""
        plugins = cls()
        points = metadata.entry_points(group=GROUP)
        for point in sorted(points, key=lambda point: (point.dist.name if point.dist else "", point.name)):
            distribution = point.dist
            source = Source(point.name, distribution.name, distribution.version) if distribution else Source(point.name)
            try:
                plugin = point.load()
            except (Exception, SystemExit) as error:  # the boundary to a plugin: what is broken is data
                log.debug("plugin %s cannot be imported", source, exc_info=True)
                plugins._refuse(source, f"{point.value} cannot be imported: {described(error)}")
            else:
                plugins.register(plugin, source)
        return plugins

    def register(self, plugin: object, source: Source | None = None) -> None:
        """Add a module or object with hooks. When it is broken, `broken` says why."""
        source = source or Source(getattr(plugin, "__name__", None) or type(plugin).__name__)
        try:
            self._sound.append(examine(plugin, source))
        except PluginError as error:
            self._refuse(source, f"{error} (see docs/plugins.md, {error.section})")
        except (Exception, SystemExit) as error:  # the boundary to a plugin: what is broken is data
            log.debug("plugin %s cannot register", source, exc_info=True)
            self._refuse(source, f"failed to register: {described(error)}")
        self._settle()

    def report(self, source: Source, error: str) -> BrokenPlugin:
        """Say what went wrong with a plugin after it was registered. What it registered stays in use."""
        broken = BrokenPlugin(source, error)
        if broken not in self._faulty:  # an app may be started twice
            self._faulty.append(broken)
            self._settle()
        return broken

    def projects(self) -> dict[str, Mapping[str, Any]]:
        """Return what plugins register for the case that there is no airlock.yaml. The first one gets the name."""
        merged: dict[str, Mapping[str, Any]] = {}
        for plugin in self.sources:
            for name, project in plugin.projects.items():
                if name in merged:
                    log.warning("project %r of plugin %s is left out: another plugin has one", name, plugin.source)
                merged.setdefault(name, project)
        return merged

    def unknown(self, kind: Kind, word: str) -> str:
        """Say what an operator can do about a backend or mediator that nothing here provides."""
        known = self.available(kind)
        extras = _extras_that_are_missing() if kind == "backend" else []
        near = get_close_matches(word, [*self.of(kind), *extras], 1, cutoff=0.75)
        remedy = f"; did you mean {near[0]!r}?" if near and near[0] != word else ""
        if near and near[0] in extras:
            remedy += f"; pip install 'airlock-core[{near[0]}]'"
        return "; ".join([f"no {kind} {word!r}{remedy}", f"available: {known}", *map(str, self.broken)])

    def available(self, kind: Kind) -> str:
        """List what can be used, and who provides it."""
        return ", ".join(f"{word} ({by.source})" for word, by in sorted(self.of(kind).items())) or "none"

    def of(self, kind: Kind) -> Mapping[str, Provided[Any]]:
        """Return what can be used, by its word in airlock.yaml."""
        offers: dict[Kind, Mapping[str, Provided[Any]]]
        offers = {"backend": self.backends, "mediator": self.mediators, "store": self.stores}
        return offers[kind]

    # --- events ------------------------------------------------------------------------------------------------------

    def execution_finished(self, project: str, result: ExecutionResult) -> None:
        """Tell observers that an execution reached a terminal status."""
        self._notify("airlock_execution_finished", project=project, result=result)

    def pool_changed(self, project: str, pool: Pool, seconds: float) -> None:
        """Tell observers that a project came up, went down or was scaled, and how long that took."""
        self._notify("airlock_pool_changed", project=project, pool=pool, seconds=seconds)

    def llm_requested(self, project: str, execution_id: str, request: LLMRequest) -> None:
        """Tell observers that a script asked a model."""
        self._notify("airlock_llm_requested", project=project, execution_id=execution_id, request=request)

    def llm_answered(self, project: str, execution_id: str, request: LLMRequest, response: str) -> None:
        """Tell observers that an LLM request was answered."""
        self._notify(
            "airlock_llm_answered", project=project, execution_id=execution_id, request=request, response=response
        )

    def _notify(self, event: str, **what: object) -> None:
        for plugin in self.sources:
            if event in plugin.observes:
                try:
                    getattr(plugin.hooks.hook, event)(**what)
                except (Exception, SystemExit):  # the boundary to a plugin: an observer hurts nobody
                    log.exception("plugin %s failed in %s", plugin.source, event)

    # --- who is in, and who is out -----------------------------------------------------------------------------------

    def _refuse(self, source: Source, error: str) -> None:
        self._faulty.append(BrokenPlugin(source, error))
        self._settle()

    def _settle(self) -> None:
        """Decide who is in: each plugin that is sound and alone in what it offers. Types of core are core's own."""
        clashes = [(plugin, self._clash(plugin)) for plugin in self._sound]
        self.sources = [plugin for plugin, clash in clashes if not clash]
        self.broken = [*self._faulty, *(BrokenPlugin(plugin.source, clash) for plugin, clash in clashes if clash)]
        self.backends = MappingProxyType(
            {
                word: Provided(backend, plugin.source)
                for plugin in self.sources
                for word, backend in plugin.backends.items()
            }
        )
        self.mediators = MappingProxyType(
            {
                word: Provided(mediator, plugin.source)
                for plugin in self.sources
                for word, mediator in plugin.mediators.items()
            }
        )

        self.stores = MappingProxyType(
            {word: Provided(store, plugin.source) for plugin in self.sources for word, store in plugin.stores.items()}
        )

    def _clash(self, plugin: Plugin) -> str:
        if plugin is self._sound[0]:
            return ""
        owners: dict[str, list[Source]] = defaultdict(list)
        for other in self._sound:
            if other is not plugin:
                for claim in _claims(other) & _claims(plugin):
                    owners[claim].append(other.source)
        return "; ".join(
            f"{claim} is provided by {' and by '.join(map(str, [plugin.source, *others]))}: uninstall all but one"
            for claim, others in sorted(owners.items())
        )


def _claims(plugin: Plugin) -> set[str]:
    return {
        *(f"backend {word!r}" for word in plugin.backends),
        *(f"mediator {word!r}" for word in plugin.mediators),
        *(f"store {word!r}" for word in plugin.stores),
    }


def _extras_that_are_missing() -> list[str]:
    """Return the plugins of ours that are not installed. Only these are proposed: whoever likes may publish the rest.

    Of a guessed name, `airlock-` and what somebody mistyped, nobody knows whose code it would bring (dependency
    confusion).
    """
    extras = metadata.metadata("airlock-core").get_all("Provides-Extra") or []
    ours = {re.match(r"[A-Za-z0-9-]+", needed)[0] for needed in metadata.requires("airlock-core") or []}  # type: ignore[index]
    return [extra for extra in extras if f"airlock-{extra}" in ours and not _is_installed(f"airlock-{extra}")]


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
