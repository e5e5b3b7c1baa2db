"""The part of `BackendContract` about the loopback that an execution has for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

HAS_IPV6 = Path("/proc/net/if_inet6").exists()
HTTP = """
import http.server, threading, urllib.request
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
set_result(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").status)
"""
ASYNCIO = """
import asyncio
async def answer(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()
async def main(host):
    server = await asyncio.start_server(answer, host, 0)
    reader, writer = await asyncio.open_connection(host, server.sockets[0].getsockname()[1])
    writer.write(b"hello\\n")
    said = (await reader.read()).decode()
    writer.close()
    return said
set_result([asyncio.run(main(host)) for host in settings.get("hosts").split()])
"""
DATAGRAMS = """
import socket
found = []
for host in settings.get("hosts").split():
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
        one.bind((host, 0))
        other.sendto(b"hello", one.getsockname())
        found.append(one.recv(10).decode())
set_result(found)
"""
CHILD = """
import multiprocessing, socket
def serve(server):
    peer, _ = server.accept()
    peer.sendall(b"from a child")
with socket.create_server(("", 0)) as server:  # all addresses
    child = multiprocessing.get_context("fork").Process(target=serve, args=(server,))
    child.start()
    with socket.create_connection(("127.0.0.1", server.getsockname()[1])) as client:
        set_result(client.makefile().read())
    child.join()
"""
SAME_PORT = """
import socket
with socket.create_server(("127.0.0.1", 4711)) as server:
    llm.complete("wait for the other one")
    with socket.create_connection(("127.0.0.1", 4711)) as client:
        peer, address = server.accept()
        set_result(address == client.getsockname())
"""
CAUGHT = """
import socket
for attempt in range(2):
    try: socket.create_connection(("192.0.2.1", 80), timeout=5)
    except OSError as error: print(error)
"""
IN_A_CHILD = """
import subprocess, sys
code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 80))"
subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
"""
# (what a script does, how often it is told that there is no network)
ATTEMPTS = {
    "a name": ("import urllib.request\nurllib.request.urlopen('https://example.org', timeout=5)", 1),
    "caught": (CAUGHT, 1),
    "in a child": (IN_A_CHILD, 1),
    "web server": (HTTP, 0),
    "bind": ("import socket\nsocket.socket(socket.AF_INET6).bind(('::1', 0))", 0),
}
NO_NETWORK = "airlock: this project has no network\n"


@pytest.mark.anyio
class Loopback(BackendBench):
    """A server and a client in one script meet, and a script that asks for more is told that there is no more."""

    @needs("runs_code", "loopback")
    @pytest.mark.parametrize("code", [ASYNCIO, DATAGRAMS], ids=["asyncio", "UDP"])
    async def test_both_loopbacks_work(self, shared: Backend[Any], code: str) -> None:
        hosts = ["127.0.0.1", *(["::1"] if HAS_IPV6 else [])]
        told = await self.result_of(shared, code, settings={"hosts": " ".join(hosts)})
        assert [text.strip().lower() for text in told] == ["hello"] * len(hosts)

    @needs("runs_code", "loopback")
    async def test_a_web_server_answers(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, HTTP) == 200

    @needs("runs_code", "loopback")
    async def test_processes_of_a_script_meet(self, shared: Backend[Any]) -> None:
        assert await self.result_of(shared, CHILD) == "from a child"

    @needs("runs_code", "loopback")
    async def test_two_executions_use_the_same_port_at_once(self) -> None:
        assert await self.results_at_once(SAME_PORT, SAME_PORT) == [True, True]

    @needs("runs_code", "loopback")
    @pytest.mark.parametrize(("code", "times"), ATTEMPTS.values(), ids=ATTEMPTS)
    async def test_an_attempt_to_leave_is_named_once(self, shared: Backend[Any], code: str, times: int) -> None:
        _, run = await self.run(shared, code)
        assert run.stderr.count(NO_NETWORK) == times
