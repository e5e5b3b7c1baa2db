"""The Docker daemon: docker-py's control calls in threads, each with a time limit, and the attached streams in asyncio.

A waiting container costs a socket and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import docker
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from airlock import BackendUnavailable

from . import diagnosis

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
THREADS: Final = 16  # control calls at once, and so containers that are made or removed at once
STREAMS: Final = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}


class Engine:
    """One project's connection to the daemon. Every method but `close` may be cancelled at any time.

    The thread of a call that was cancelled goes on. So whatever container it makes is removed, for which `close` waits.
    """

    def __init__(self, host: str | None, *, start_time_limit: float, stop_time_limit: float) -> None:
        """No I/O. Times are seconds that one answer of the daemon may take."""
        self.host = host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        self._start_time_limit = start_time_limit
        self._stop_time_limit = stop_time_limit
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="airlock-docker")
        self._clients: dict[float, docker.APIClient] = {}
        self._making_client = threading.Lock()
        self._is_closed = False
        self._removing: set[asyncio.Task[None]] = set()
        self._left: set[str] = set()  # containers that the daemon did not remove when it was told to

    @property
    def is_clean(self) -> bool:
        """Whether all containers are removed that were to be."""
        return not self._left

    async def call(self, function: Callable[[docker.APIClient], T], *, time_limit: float | None = None) -> T:
        """Ask the daemon, in a thread.

        Raises BackendUnavailable, with the remedy, when it does not do that; NotFound is left as it is.
        """
        limit = self._start_time_limit if time_limit is None else time_limit
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, function, limit)

    async def launch(self, name: str, container: Mapping[str, Any]) -> tuple[str, socket.socket]:
        """Create a container, attach to it, start it. Returns its id and the stream.

        When that fails nothing of it is left.
        """
        has_asked = threading.Event()

        def ask(client: docker.APIClient) -> tuple[str, socket.socket]:
            has_asked.set()
            return _launch(client, name, container)

        async def undo() -> None:
            await asyncio.wait({launching})
            if not launching.cancelled() and launching.exception() is None:
                launching.result()[1].close()
            if has_asked.is_set():
                await self._discard(name)

        launching = asyncio.ensure_future(self.call(ask))
        try:
            return await asyncio.shield(launching)
        except BaseException:
            await self._in_any_case(undo())
            raise

    async def state(self, name: str, patience: float) -> dict[str, Any] | None:
        """Wait for the end of a container and return its State; None when there is no such container."""

        def ask(client: docker.APIClient) -> dict[str, Any]:
            with contextlib.suppress(RequestException):  # it still runs
                client.wait(name, timeout=patience)  # type: ignore[arg-type]  # requests takes parts
            state: dict[str, Any] = client.inspect_container(name)["State"]
            return state

        try:
            return await self.call(ask)
        except NotFound:
            return None

    async def pid(self, name: str) -> int:
        """Return the first process of a running container, as the daemon's machine sees it."""
        found: dict[str, Any] = await self.call(lambda client: client.inspect_container(name))
        return int(found["State"]["Pid"])

    async def kill(self, name: str) -> None:
        """Kill a container, unless it is dead or gone."""

        def kill(client: docker.APIClient) -> None:
            with contextlib.suppress(NotFound, docker.errors.APIError):
                client.kill(name)

        await self.call(kill, time_limit=self._stop_time_limit)

    async def remove(self, name: str) -> None:
        """Kill and remove a container with its volumes, unless it is gone."""

        def remove(client: docker.APIClient) -> None:
            try:
                client.remove_container(name, force=True, v=True)
            except NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != 409 or "already in progress" not in str(error.explanation):
                    raise

        await self.call(remove, time_limit=self._stop_time_limit)

    async def discard(self, name: str) -> None:
        """Remove a container, also when this is cancelled. If the daemon does not do that now, `discard_left` may."""
        await self._in_any_case(self._discard(name))

    async def discard_left(self) -> None:
        """Remove what could not be removed while the daemon was away."""
        for name in list(self._left):
            await self.discard(name)
            if name in self._left:
                return

    async def labelled(self, label: str) -> list[str]:
        """Return the ids of all containers with this label, whatever they do."""

        def ask(client: docker.APIClient) -> list[str]:
            return [found["Id"] for found in client.containers(all=True, filters={"label": label})]

        return await self.call(ask)

    async def close(self) -> None:
        """Finish what is being removed, and let go of threads and connections. Other calls end by their time limits."""
        while self._removing:
            await asyncio.wait(self._removing)
        await self.discard_left()
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._disconnect()

    async def _in_any_case(self, removal: Coroutine[None, None, None]) -> None:
        """Wait for a removal, which goes on if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(removal)
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)
        await asyncio.shield(task)

    async def _discard(self, name: str) -> None:
        try:
            await self.remove(name)
        except BackendUnavailable as error:
            log.warning("container %s is left for now: %s", name, error)
            self._left.add(name)
        else:
            self._left.discard(name)

    def _call(self, function: Callable[[docker.APIClient], T], limit: float) -> T:
        # Asked first, for the exact reason: docker-py hides it, and leaves the socket to the garbage collector.
        if (refusal := diagnosis.unreachable(self.host)) is not None:
            raise refusal
        try:
            return function(self._client(limit))
        except NotFound:
            raise
        except (DockerException, RequestException, OSError) as error:
            raise diagnosis.explain(error, self.host) from error
        finally:
            if self._is_closed:  # meanwhile: docker-py connects again for whoever asks on
                self._disconnect()

    def _disconnect(self) -> None:
        with self._making_client:
            for client in self._clients.values():
                client.close()

    def _client(self, limit: float) -> docker.APIClient:
        with self._making_client:
            if limit not in self._clients:
                self._clients[limit] = docker.APIClient(
                    self.host,
                    timeout=limit,  # type: ignore[arg-type]  # requests takes parts of seconds
                    num_pools=THREADS,
                )
            return self._clients[limit]


def _launch(client: docker.APIClient, name: str, container: Mapping[str, Any]) -> tuple[str, socket.socket]:
    made = client.create_container(name=name, **container)
    stream = None
    try:
        attached = client.attach_socket(name, params=STREAMS)  # before the start, so that nothing is missed
        stream = socket.socket(fileno=attached._sock.detach())
        attached.close()
        client.start(name)
    except BaseException:
        if stream is not None:
            stream.close()
        raise
    return made["Id"], stream
