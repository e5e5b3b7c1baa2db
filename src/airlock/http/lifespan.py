"""What stands behind one app, from its start to its end."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from airlock.config import find_config, load_config
from airlock.errors import StoreRefused, StoreUnavailable
from airlock.gateway import Gateway
from airlock.plugins import Plugins

from .access import AccessPolicy
from .extensions import View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from airlock.config import Config
    from airlock.stores import Store

    from .extensions import Extensions


class Lifespan:
    """What stands behind one app: made when it is needed, so that importing `airlock.api` builds nothing.

    With a lifespan (any ASGI server, `with TestClient(app)`) pools are started. Without one the first request makes a
    gateway that serves on the memory store and starts no pool.
    """

    extensions: Extensions

    def __init__(self, config: Config | None = None, plugins: Plugins | None = None) -> None:
        self._config = config
        self._plugins = plugins
        self._gateway: Gateway | None = None
        self._store: Store[Any] | None = None
        self._policy: AccessPolicy | None = None

    async def gateway(self) -> Gateway:
        """Return the gateway."""
        return self._gateway or self._open()

    async def policy(self) -> AccessPolicy:
        """Return who may talk to it."""
        if self._policy is None:
            self._policy = AccessPolicy.of((await self.gateway()).config, os.environ)
        return self._policy

    @property
    def needs_key(self) -> bool:
        """Whether requests need a key, as far as that is known: certainly once one came."""
        return self._policy is not None and bool(self._policy.keys)

    def is_public(self, path: str) -> bool:
        """Whether anybody may request this path. `/health` is not even asked for."""
        return path == "/ready" or self.extensions.is_public(path)

    async def start(self) -> Gateway:
        """Open the store that airlock.yaml names, go on with what it has, and begin to bring the pools up; once.

        Raises StoreRefused.
        """
        if self._gateway is not None and self._store is not None:
            return self._gateway
        self._plugins, self._config = self._configured()
        self._policy = AccessPolicy.of(self._config, os.environ)  # a useless key is refused before a store is opened
        self._store = await self._config.open_store()
        gateway = self._open()
        try:
            await gateway.start()
        except StoreUnavailable as error:
            await gateway.close()
            self._gateway = self._policy = self._store = None
            remedy = "mend that, or make room there, and start again"
            raise StoreRefused(f"the end of what the last server ran cannot be stored: {error}; {remedy}") from error
        return gateway

    def _configured(self) -> tuple[Plugins, Config]:
        plugins = self._plugins or Plugins.discover()
        return plugins, self._config or load_config(find_config(None, os.environ), plugins)

    def _open(self) -> Gateway:
        plugins, config = self._configured()
        self._policy = self._policy or AccessPolicy.of(config, os.environ)
        self._gateway = Gateway(config, plugins, self._store)
        self.extensions.extend(plugins, View(self._gateway, self._policy.keys))
        return self._gateway

    @asynccontextmanager
    async def __call__(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the pools, and end everything at the end."""
        gateway = await self.start()
        async with AsyncExitStack() as until_end:
            await self.extensions.start(gateway.plugins, until_end)
            try:
                yield
            finally:
                await gateway.drain()
                await gateway.close()
                self._gateway = self._policy = self._store = None
