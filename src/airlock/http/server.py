"""Airlock's own server: uvicorn that lets running executions finish before it closes its sockets.

Plain uvicorn (`uvicorn airlock.api:app`) closes them first, so no agent can poll an execution that is finishing.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import resource
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from .connection import BoundedHttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

    from fastapi import FastAPI

    from airlock.gateway import Gateway

log = logging.getLogger(__name__)

MMAP_THRESHOLD: Final = 128 << 10  # bytes
CONNECTION_GRACE: Final = 3  # seconds that open requests get once nothing is running any more


class AirlockServer(uvicorn.Server):
    """Serves one app of `api.create_app`.

    The first SIGTERM, SIGHUP or Ctrl-C drains: new executions are refused, polls and answers are served, running ones
    get `limits.shutdown_grace`. A second SIGTERM or Ctrl-C ends that grace. What is still running then is killed.
    """

    def __init__(self, app: FastAPI, on_started: Callable[[Gateway], Awaitable[None]]) -> None:
        """`on_started` is called as soon as requests are served."""
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                http=BoundedHttp,
                ws="none",
                log_config=None,
                access_log=False,  # it costs more than a tenth of the throughput
                timeout_graceful_shutdown=CONNECTION_GRACE,
            )
        )
        self._gateway_of: Callable[[], Awaitable[Gateway]] = app.state.lifespan.gateway
        self._start: Callable[[], Awaitable[Gateway]] = app.state.lifespan.start
        self._on_started = on_started
        self._gateway: Gateway | None = None
        self._draining: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP too, unless it is ignored, as under `nohup`."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self.handle_exit)
        with super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal. Unlike in uvicorn, a clean stop exits with 0: the signal is not raised again afterwards."""
        if self.should_exit and sig != signal.SIGHUP:  # a terminal that closes sends it twice and means it once
            self.force_exit = True
            if self._gateway is not None:
                self._gateway.hurry()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it. Raises StoreRefused."""
        _raise_descriptor_limit()
        _give_memory_back()
        await self._start()  # here, so that uvicorn does not report a refused store as a fault
        await super().startup(sockets)
        # What lives as long as the server need not be searched for garbage again and again: that takes tens of
        # milliseconds each time, and some request would wait for it. See "Copy-on-write friendly Python garbage
        # collection" (Instagram).
        gc.collect()
        gc.freeze()
        self._gateway = await self._gateway_of()
        await self._on_started(self._gateway)

    async def on_tick(self, counter: int) -> bool:
        """Continue until there was a signal and the gateway has drained."""
        if await super().on_tick(counter) and self._draining is None and self._gateway is not None:
            log.info(
                "shutting down: running executions may finish within limits.shutdown_grace; a second signal ends it"
            )
            self._draining = asyncio.create_task(self._gateway.drain())
        return self._draining is not None and self._draining.done()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets, then the app."""
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn skips this when forced, but it kills the sandboxes
            await self.lifespan.shutdown()
        log.info("stopped")


def _raise_descriptor_limit() -> None:
    """Use what the machine allows: each execution, even a paused one, holds about ten descriptors, and the usual soft
    limit of 1024 is only for programs that use `select` (see systemd's "File Descriptor Limits").
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _give_memory_back() -> None:
    """Return large blocks (results and outputs) to the system when they are freed.

    glibc raises its threshold for that with the first of them (mallopt(3), M_MMAP_THRESHOLD), and then keeps holes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(-3, MMAP_THRESHOLD)


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is started. A name with several addresses stands for its first IPv4 address.

    Raises OSError when that is not possible.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server((str(address[0]), port), family=family)
