"""What a script in a real sandbox writes, through a real server to a client that listens, or does not."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from airlock.client import Airlock, Event

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = "projects: {p: {backend: local, replicas: 2}}\n"
HOSTILE = "\r\r\n\n\ndata: x\n\nid: 1\nevent: result\n: c\x00\x85\u2028\u2029\x1c\x0b\ufeff😀é\ud7ff\U0010ffff end"
PATIENCE = 60  # seconds; only a guard against hanging


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "airlock.yaml").write_text(CONFIG)
    arguments = [sys.executable, "-m", "airlock", "--port", "0", "--log-format", "plain"]
    with subprocess.Popen(arguments, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()
        assert process.stderr is not None
        rest = process.stderr.read()
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in rest


@pytest.fixture(scope="module")
def url(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    return next(line.split()[-1] for line in server.stderr if "Listening on" in line)


@pytest.fixture
def client(url: str) -> Iterator[Airlock]:
    with Airlock(url, retry_for=20) as client:
        yield client


def text_of(events: list[Event], stream: str = "stdout") -> str:
    return "".join(event.data["text"] for event in events if event.type == stream)


def test_every_byte_on_its_own_arrives_as_the_text_that_it_is(client: Airlock) -> None:
    script = f"""
import os, time
for byte in {HOSTILE.encode()!r} + b"\\xff\\xed\\xa0\\x80":
    os.write(1, bytes([byte]))
    time.sleep(0.0005)
raise ValueError("é😀")
"""
    execution_id = client.submit(script, project="p")
    events = list(client.events(execution_id))
    result = client.get(execution_id)
    assert text_of(events) == result.stdout == HOSTILE + "\ufffd" * 4
    assert text_of(events, "stderr") == result.stderr
    assert "ValueError: é😀" in result.stderr
    assert events[-1].data["error_type"] == "script_error"


def test_output_arrives_while_the_script_runs_and_before_what_it_asks(client: Airlock) -> None:
    written: list[str] = []

    def llm(_: object) -> str:
        assert written == ["who?\n"]
        return "me"

    def on_output(stream: str, text: str) -> None:
        written.append(text)

    script = "print('who?')\nset_result(llm.complete('who?'))"
    assert client.run(script, project="p", llm=llm, on_output=on_output).result == "me"


def memory_of(server: subprocess.Popen[str]) -> int:
    """Bytes that it has in memory."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) << 10


def test_a_flood_with_readers_that_stall_costs_the_server_no_memory_and_the_script_no_time(
    client: Airlock, server: subprocess.Popen[str], url: str
) -> None:
    script = """
import sys
if llm.complete("ready?"):
    for _ in range(1600):
        sys.stdout.write("x" * 65535 + "\\n")
"""
    execution_id = client.submit(script, project="p")
    client.get(execution_id, wait=30)
    before = memory_of(server)
    address = urlsplit(url)
    readers = [socket.socket() for _ in range(10)]
    for reader in readers:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((address.hostname, address.port))
        reader.sendall(f"GET /executions/{execution_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        reader.recv(1)
    client.respond(execution_id, "yes", request_id=1)
    result = client.get(execution_id, wait=30)
    while not result.status.is_terminal:
        result = client.get(execution_id, wait=30, since=result.version)
    assert (result.status, result.truncated) == ("completed", True)
    assert memory_of(server) - before < 30 << 20  # the output twice, a megabyte each, and what ten streams buffer
    assert text_of(list(client.events(execution_id))) == result.stdout
    for reader in readers:
        reader.close()
