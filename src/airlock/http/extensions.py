"""The routes that plugins add, and the view of the gateway that they get.

Each plugin has its own app, so nothing that it does there changes core's.

The first path segment decides which plugin a request belongs to; core keeps its own segments. So no plugin can get in
the way of core or of another plugin, whatever it registers and in whatever order.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Match, Route

from airlock.gateway import ScopedGateway
from airlock.plugins import EXTEND_APP, Client, PluginError, described

from . import problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AsyncExitStack

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from airlock.gateway import Gateway, KeyRing
    from airlock.plugins import GatewayView, Plugin, Plugins

log = logging.getLogger(__name__)

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+")


class View:
    """The `GatewayView` of one server. The protocol documents the methods."""

    def __init__(self, gateway: Gateway, keys: KeyRing) -> None:
        self._gateway = gateway
        self._keys = keys

    def for_client(self, client: Client) -> ScopedGateway:
        """Return the gateway as this client sees it."""
        return ScopedGateway(self._gateway, client)

    def client_of(self, request: Request) -> Client:
        """Return who sent a request, as determined by `AccessMiddleware`."""
        client: Client = request.state.client
        return client

    @property
    def has_keys(self) -> bool:
        """Whether the server requires keys."""
        return bool(self._keys)

    @property
    def backends(self) -> Mapping[str, str]:
        """The backend of each listed project."""
        return {name: project.backend.type for name, project in self._gateway.config.projects.items()}


@dataclass(frozen=True, slots=True)
class Extension:
    """The app of one plugin. `segments` are the first segments of its paths, `public` the paths that need no key."""

    plugin: Plugin
    app: FastAPI
    segments: frozenset[str]
    public: frozenset[str]

    def is_public(self, path: str) -> bool:
        """Whether this path needs no key: it is listed itself, or it is below one listed with a trailing slash."""
        return path in self.public or any(path.startswith(prefix) for prefix in self.public if prefix.endswith("/"))


class Extensions(BaseRoute):
    """Passes requests to the plugin that serves them. A single route of core's app, after all of core's own."""

    def __init__(self, core: FastAPI) -> None:
        """Reserve the segments of the routes that `core` has now."""
        self._core = {first_segment(context.path or "") for context in iter_route_contexts(core.routes)}
        self._by_segment: dict[str, Extension] = {}

    def extend(self, plugins: Plugins, view: GatewayView) -> None:
        """Let every plugin add its routes, replacing earlier ones. Faults are reported to `plugins`."""
        self._by_segment = {}
        for plugin in plugins.sources:
            if not plugin.extends_app:
                continue
            try:
                extension = self._made(plugin, view)
            except PluginError as error:
                self._refuse(plugins, plugin, str(error))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary to a plugin: the rest serves
                self._refuse(plugins, plugin, described(error), error)
            else:
                self._by_segment |= dict.fromkeys(extension.segments, extension)

    async def start(self, plugins: Plugins, until_end: AsyncExitStack) -> None:
        """Enter the lifespans of the apps. A plugin whose lifespan fails loses its routes."""
        for extension in {id(extension): extension for extension in self._by_segment.values()}.values():
            try:
                await until_end.enter_async_context(_Guarded(extension))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary to a plugin, as above
                self._by_segment = {word: other for word, other in self._by_segment.items() if other is not extension}
                self._refuse(plugins, extension.plugin, f"its lifespan failed: {described(error)}", error)

    def is_public(self, path: str) -> bool:
        """Whether a plugin serves this path without a key."""
        extension = self._by_segment.get(first_segment(path))
        return extension is not None and extension.is_public(path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `BaseRoute`: whether a plugin has this path's first segment."""
        is_ours = scope["type"] == "http" and first_segment(scope["path"]) in self._by_segment
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `BaseRoute`: let the plugin's app answer."""
        await self._by_segment[first_segment(scope["path"])].app(scope, receive, send)

    def _made(self, plugin: Plugin, view: GatewayView) -> Extension:
        app = FastAPI(title=str(plugin.source), openapi_url=None)
        problems.install(app)
        returned = plugin.hooks.hook.airlock_extend_app(app=app, gateway=view)
        contexts = list(iter_route_contexts(app.routes))
        segments = {
            self._checked(context.path or "", is_route=isinstance(context.original_route, Route))
            for context in contexts
        }
        public = frozenset(path for paths in returned for path in _paths(paths))
        if strange := sorted(path for path in public if first_segment(path) not in segments):
            raise PluginError(f"{EXTEND_APP} returned {strange[0]!r} as public, but has no route there")
        return Extension(plugin, app, frozenset(segments), public)

    def _checked(self, path: str, *, is_route: bool) -> str:
        segment = first_segment(path)
        if path == "/" and is_route:
            return ""
        if not _SEGMENT.fullmatch(segment):
            raise PluginError(f"the path {path!r} must start with its own first segment, like /{EXTEND_APP[8:]}/...")
        if segment in self._core:
            raise PluginError(f"the path {path!r} is not free: /{segment} is core's, choose another first segment")
        if (other := self._by_segment.get(segment)) is not None:
            raise PluginError(f"the path {path!r} is not free: /{segment} is served by {other.plugin.source}")
        return segment

    def _refuse(self, plugins: Plugins, plugin: Plugin, error: str, cause: BaseException | None = None) -> None:
        told = plugins.report(plugin.source, f"it adds no routes: {error}")
        log.error("plugin %s", told, exc_info=cause)


class _Guarded:
    """The lifespan of a plugin's app. A failure at its end affects nothing else."""

    def __init__(self, extension: Extension) -> None:
        self._source = extension.plugin.source
        self._lifespan = extension.app.router.lifespan_context(extension.app)

    async def __aenter__(self) -> None:
        await self._lifespan.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._lifespan.__aexit__(None, None, None)
        except (Exception, SystemExit):  # the boundary to a plugin: the others are still ended
            log.exception("plugin %s failed to end", self._source)


def first_segment(path: str) -> str:
    """Return what is between the first slash and the second."""
    return path.split("/", 2)[1] if path.startswith("/") else path


def _paths(returned: object) -> Iterable[str]:
    if isinstance(returned, str) or not isinstance(returned, (list, tuple, set, frozenset)):
        raise PluginError(
            f"{EXTEND_APP} returned {type(returned).__name__}; return a list of the public paths, or None"
        )
    for path in returned:
        if not (isinstance(path, str) and path.startswith("/")):
            raise PluginError(f"{EXTEND_APP} returned {path!r} as public; a path starts with '/'")
        yield path
