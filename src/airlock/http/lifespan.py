"""What is behind one app, from its start to its end."""

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
    """What is behind one app. It is made when it is first needed, so importing `airlock.api` builds nothing.

    With a lifespan (any ASGI server, `with TestClient(app)`) pools are started. Without one, the first request makes a
    gateway that uses the memory store and starts no pool.
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
        """Return who may talk to this server."""
        if self._policy is None:
            await self.gateway()
        assert self._policy is not None  # it comes and goes with the gateway
        return self._policy

    @property
    def needs_key(self) -> bool:
        """Whether requests need a key, as far as that is known; after the first request it is."""
        return self._policy is not None and bool(self._policy.keys)

    def is_public(self, path: str) -> bool:
        """Whether anybody may request this path. `/health` is served before this is asked."""
        return path == "/ready" or self.extensions.is_public(path)

    async def start(self) -> Gateway:
        """Open the store that airlock.yaml names, resume what is in it, and begin to start the pools; once.

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
            remedy = "fix that or free space, then restart"
            raise StoreRefused(
                f"the executions that the last server was running cannot be marked as interrupted: {error}; {remedy}"
            ) from error
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
        """Start the pools, and close everything at the end."""
        gateway = await self.start()
        async with AsyncExitStack() as until_end:
            await self.extensions.start(gateway.plugins, until_end)
            try:
                yield
            finally:
                await gateway.drain()
                await gateway.close()
                self._gateway = self._policy = self._store = None
