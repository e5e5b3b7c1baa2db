"""The log, written to a pipe that is read in time, too late or never."""

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from airlock.logs import handler as log_handler
from airlock.logs.formats import PlainFormatter
from airlock.logs.handler import LogHandler


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def handler(pipe: tuple[int, int]) -> LogHandler:
    return LogHandler(pipe[1])


def log(handler: LogHandler, text: str) -> None:
    handler.handle(logging.makeLogRecord({"msg": text}))


def read_until(end: int, last: str) -> list[str]:
    received = b""
    give_up = time.monotonic() + 60
    while not received.endswith(f"{last}\n".encode()):
        assert time.monotonic() < give_up
        received += os.read(end, 1 << 16)
    return received.decode().splitlines()


def test_a_line_is_there_at_once(pipe: tuple[int, int], handler: LogHandler) -> None:
    log(handler, "hello Ada")
    assert os.read(pipe[0], 100) == b"hello Ada\n"


def test_what_a_reader_takes_late_arrives_whole_and_in_order(pipe: tuple[int, int], handler: LogHandler) -> None:
    lines = [f"{number} {'x' * (number % 9_000)}" for number in range(500)]
    for line in lines:
        log(handler, line)
    assert read_until(pipe[0], lines[-1]) == lines
    log(handler, "again at once")
    assert read_until(pipe[0], "again at once") == ["again at once"]


def test_what_is_too_much_for_a_reader_is_dropped_and_counted(
    pipe: tuple[int, int], handler: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_handler, "MAX_BACKLOG", 100)
    line = "x" * 999
    for _ in range(1_000):
        log(handler, line)
    handler.flush()  # gives up after a moment
    os.set_blocking(pipe[0], False)
    received = b""
    give_up = time.monotonic() + 60
    while b"dropped" not in received:
        assert time.monotonic() < give_up
        try:
            received += os.read(pipe[0], 1 << 16)
        except BlockingIOError:
            time.sleep(0.01)
    *kept, said = received.decode().splitlines()
    assert set(kept) == {line}
    assert said == f"{1_000 - len(kept)} lines were dropped here: nothing was reading the log"


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("hunter2\n2026-01-01 00:00:00 INFO    forged")


@pytest.mark.parametrize("record", [{"msg": "%d lines", "args": ("hunter2",)}, {"msg": "%s", "args": (Unprintable(),)}])
def test_a_record_that_cannot_be_formatted_becomes_a_redacted_line_that_says_where(
    pipe: tuple[int, int], handler: LogHandler, capfd: pytest.CaptureFixture[str], record: dict[str, object]
) -> None:
    handler.setFormatter(PlainFormatter(lambda text: text.replace("hunter2", "[redacted]")))
    handler.handle(logging.makeLogRecord({"pathname": "/plugin.py", "lineno": 7, **record}))
    log(handler, "goes on")
    first, *rest, last = read_until(pipe[0], "goes on")
    assert first.endswith("ERROR   /plugin.py:7: this line cannot be logged")
    assert all(line.startswith("    | ") for line in rest)
    assert "Error: " in "".join(rest)
    assert "hunter2" not in "".join(rest)
    assert last.endswith("goes on")
    assert capfd.readouterr().err == ""


def test_a_reader_that_is_gone_costs_lines_only() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    handler = LogHandler(writes)
    for _ in range(3):
        log(handler, "nobody there")
    os.close(writes)


def test_a_server_whose_log_is_not_read_serves_and_ends(tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").write_text("projects: {p: {backend: mock}}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRLOCK_")}
    server = subprocess.Popen(
        [sys.executable, "-m", "airlock", "--port", str(port)], cwd=tmp_path, env=inherited, stderr=subprocess.PIPE
    )
    transport = httpx.HTTPTransport(retries=10)  # until it listens
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, transport=transport) as client:
            for _ in range(300):  # of three lines each, several times what a pipe holds
                assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202
        server.terminate()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.communicate()
