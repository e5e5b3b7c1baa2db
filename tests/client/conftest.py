"""A real server, whether it is idle, and a network between it and the client that fails when told to."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import RunningServer

from airlock.client import Airlock, ProjectInfo

PATIENCE = 60  # seconds; a hang guard
CONFIG = "projects: {p: {backend: scripted, replicas: 2}}\n"


class Network:
    """A TCP proxy that can spoil one HTTP exchange: the next one whose request line contains `on`."""

    def __init__(self, upstream: str | None) -> None:
        self.requests: list[str] = []  # request lines, in order
        self.headers: list[dict[str, str]] = []  # theirs, with names in lower case
        self._upstream = upstream
        self._faults: list[tuple[str, Callable[[bytes], bytes]]] = []
        self._cut: tuple[str, Callable[[], int]] | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def loses_request(self, on: str) -> None:
        """Lose the request before the server sees it."""
        self._faults.append((on, lambda _: b""))

    def loses_reply(self, on: str) -> None:
        """Lose the reply after the server has acted."""
        self._faults.append((on, lambda request: self._forward(request) and b""))

    def delays_reply(self, on: str, seconds: float) -> None:
        """Deliver the reply late."""

        def late(request: bytes) -> bytes:
            reply = self._forward(request)
            time.sleep(seconds)
            return reply

        self._faults.append((on, late))

    def truncates_reply(self, on: str, to: int) -> None:
        """Deliver only that many bytes of the reply."""
        self._faults.append((on, lambda request: self._forward(request)[:to]))

    def replies(self, on: str, status: str, content: str = "", *headers: str) -> None:
        """Reply in place of the server."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content.encode())}", "Connection: close", *headers]
        self._faults.append((on, lambda _: "\r\n".join([*lines, "", content]).encode()))

    def sends(self, on: str, content: bytes) -> None:
        """Reply with raw bytes: not HTTP, or incomplete."""
        self._faults.append((on, lambda _: content))

    def cuts_every_reply(self, on: str, after: Callable[[], int]) -> None:
        """Deliver only that many bytes of each reply, as they arrive, then close the connection."""
        self._cut = on, after

    def count(self, text: str) -> int:
        return sum(text in line for line in self.requests)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # either side may be gone
            request = _read_request(connection)
            line = request.partition(b"\r\n")[0].decode()
            if not line:
                return
            self.requests.append(line)
            fields = (field.split(": ", 1) for field in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:])
            self.headers.append({name.lower(): value for name, value in fields})
            for fault in self._faults:
                if fault[0] in line:
                    self._faults.remove(fault)
                    connection.sendall(fault[1](request))
                    return
            left = self._cut[1]() if self._cut and self._cut[0] in line else None
            for piece in self._stream(request):
                connection.sendall(piece[:left])
                if left is not None and (left := left - len(piece)) <= 0:
                    return

    def _forward(self, request: bytes) -> bytes:
        return b"".join(self._stream(request))

    def _stream(self, request: bytes) -> Iterator[bytes]:
        assert self._upstream is not None
        host, port = self._upstream.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as server:
            server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while piece := server.recv(1 << 16):
                yield piece


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = connection.recv(1 << 16)
        if not piece:
            return b""
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        piece = connection.recv(missing)
        request, missing = request + piece, missing - len(piece)
    head, _, body = request.partition(b"\r\n\r\n")
    return re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head) + b"\r\n\r\n" + body


@pytest.fixture
def network() -> Iterator[Callable[[str | None], Network]]:
    """Make networks to a server, or to none."""
    made: list[Network] = []

    def make(upstream: str | None = None) -> Network:
        made.append(Network(upstream))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def url(serve_all: Callable[..., RunningServer]) -> str:
    return serve_all(CONFIG).url


@pytest.fixture
def airlock(url: str) -> Iterator[Airlock]:
    with Airlock(url, retry_for=20) as client:
        yield client
        assert is_idle(client)


def is_idle(client: Airlock) -> bool:
    """Whether no unfinished execution is left, as must be so after each test."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        [project] = client.projects()
        if busy(project) == 0:
            return True
        time.sleep(0.02)
    return False


def busy(project: ProjectInfo) -> int:
    return project.queued + project.running + project.paused


def wait_until_busy(client: Airlock) -> None:
    give_up = time.monotonic() + PATIENCE
    while busy(client.projects()[0]) == 0:
        assert time.monotonic() < give_up
        time.sleep(0.02)
