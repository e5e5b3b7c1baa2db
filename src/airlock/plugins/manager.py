"""Which plugins are installed, what each one offers, and which ones are broken and why.

A plugin is used entirely or not at all: when one of its hooks is wrong, or another plugin offers the same type, nothing
that it registers is used. A broken plugin is data, never an exception: only a configuration that needs it fails.
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
from .classes import BACKEND, KINDS, PluginError
from .plugin import GROUP, Plugin, Source, described, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .classes import Kind

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that is installed but cannot be used."""

    source: Source
    error: str

    def __str__(self) -> str:
        """Say what is broken, and why."""
        return f"{self.source} is broken: {self.error}"


@dataclass(frozen=True, slots=True)
class Provided(Generic[T]):
    """What a plugin offers under a word, and which plugin that is."""

    value: T
    source: Source


class Plugins:
    """All plugins. `discover` finds the installed ones; without it, there is only what core itself provides."""

    def __init__(self) -> None:
        self.sources: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self._offers: Mapping[str, Mapping[str, Provided[Any]]] = {}
        self._faulty: list[BrokenPlugin] = []
        self._sound: list[Plugin] = []
        self.register(core, Source("core", "airlock-core", metadata.version("airlock-core")))

    @classmethod
    def discover(cls) -> Plugins:
        """Load every installed entry point of the group `airlock`, each one separately."""
        plugins = cls()
        points = metadata.entry_points(group=GROUP)
        for point in sorted(points, key=lambda point: (point.dist.name if point.dist else "", point.name)):
            distribution = point.dist
            source = Source(point.name, distribution.name, distribution.version) if distribution else Source(point.name)
            try:
                plugin = point.load()
            except (Exception, SystemExit) as error:  # the boundary to a plugin: a broken one is data
                log.debug("plugin %s cannot be imported", source, exc_info=True)
                plugins._refuse(source, f"{point.value} cannot be imported: {described(error)}")
            else:
                plugins.register(plugin, source)
        return plugins

    def register(self, plugin: object, source: Source | None = None) -> None:
        """Add a module or object with hooks. If it is broken, `broken` says why."""
        source = source or Source(getattr(plugin, "__name__", None) or type(plugin).__name__)
        try:
            self._sound.append(examine(plugin, source))
        except PluginError as error:
            self._refuse(source, f"{error} (see docs/plugins.md, {error.section})")
        except (Exception, SystemExit) as error:  # the boundary to a plugin: a broken one is data
            log.debug("plugin %s cannot register", source, exc_info=True)
            self._refuse(source, f"failed to register: {described(error)}")
        self._settle()

    def report(self, source: Source, error: str) -> BrokenPlugin:
        """Record a fault found after registration. What the plugin registered stays in use."""
        broken = BrokenPlugin(source, error)
        if broken not in self._faulty:  # an app may be started twice
            self._faulty.append(broken)
            self._settle()
        return broken

    def projects(self) -> dict[str, Mapping[str, Any]]:
        """Return the projects that plugins register for use without an airlock.yaml. The first one gets the name."""
        merged: dict[str, Mapping[str, Any]] = {}
        for plugin in self.sources:
            for name, project in plugin.projects.items():
                if name in merged:
                    log.warning("project %r of plugin %s is ignored: another plugin has one", name, plugin.source)
                merged.setdefault(name, project)
        return merged

    def unknown(self, kind: Kind[Any], word: str) -> str:
        """Say what an operator can do about a word that no plugin provides."""
        known = self.available(kind)
        extras = _extras_that_are_missing() if kind is BACKEND else []
        near = get_close_matches(word, [*self.of(kind), *extras], 1, cutoff=0.75)
        remedy = f"; did you mean {near[0]!r}?" if near and near[0] != word else ""
        if near and near[0] in extras:
            remedy += f"; pip install 'airlock-core[{near[0]}]'"
        return "; ".join([f"no {kind.name} {word!r}{remedy}", f"available: {known}", *map(str, self.broken)])

    def available(self, kind: Kind[Any]) -> str:
        """List what can be used, and which plugin provides it."""
        return ", ".join(f"{word} ({by.source})" for word, by in sorted(self.of(kind).items())) or "none"

    def of(self, kind: Kind[T]) -> Mapping[str, Provided[T]]:
        """Return what can be used of a kind, by its word."""
        return self._offers[kind.name]

    # --- which plugins are used --------------------------------------------------------------------------------------

    def _refuse(self, source: Source, error: str) -> None:
        self._faulty.append(BrokenPlugin(source, error))
        self._settle()

    def _settle(self) -> None:
        """Use each plugin that is sound and shares no word with another one. Core's words are core's own."""
        clashes = [(plugin, self._clash(plugin)) for plugin in self._sound]
        self.sources = [plugin for plugin, clash in clashes if not clash]
        self.broken = [*self._faulty, *(BrokenPlugin(plugin.source, clash) for plugin, clash in clashes if clash)]
        self._offers = {
            kind.name: MappingProxyType(
                {
                    word: Provided(value, plugin.source)
                    for plugin in self.sources
                    for word, value in plugin.offers[kind.name].items()
                }
            )
            for kind in KINDS
        }

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
    return {f"{kind} {word!r}" for kind, offers in plugin.offers.items() for word in offers}


def _extras_that_are_missing() -> list[str]:
    """Return the extras whose plugins are not installed; those plugins are ours.

    Nothing else is suggested: anybody could publish code under a guessed name, `airlock-` and a mistyped word
    (dependency confusion).
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
