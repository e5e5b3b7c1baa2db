"""HTTP as it arrives from a socket, and its bounds, against a server process."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from tests.http.conftest import BODY, HOST, JSON, answer_to, check_problem

from airlock.http.connection import BoundedHttp

# --- what is no request, or too much of one --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"BREW /projects HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /projects HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
        b"GET /projects HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
        b"GET /projects HTTP/1.1\nHost: localhost\n\n",
        b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: -1\r\n\r\n",
        b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /execute HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
    ],
    ids=[
        *("tls", "http2", "method", "8 bit", "nul", "folded", "lf"),
        *("negative length", "two lengths", "length and chunks", "chunks"),
    ],
)
def test_what_is_no_http_is_a_problem_and_the_end(connection: socket.socket, sent: bytes) -> None:
    status, headers, problem = answer_to(connection, sent)
    assert status == 400
    check_problem(headers, problem, "bad_request")
    assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (b"GET /?" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431, "request_header_fields_too_large"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 15_000 + b"\r\n", 431, "request_header_fields_too_large"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a" + b" " * 70_000 + b"\r\n\r\n", 431, "request_header_fields_too_large"),
    ],
    ids=["path", "query", "one header", "many headers", "blanks"],
)
def test_a_head_over_its_bounds_is_refused(connection: socket.socket, sent: bytes, status: int, code: str) -> None:
    got, headers, problem = answer_to(connection, sent)
    assert got == status
    check_problem(headers, problem, code)


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"\r\n\r\n"])
def test_a_head_that_never_ends_is_cut_off(connection: socket.socket, begin: bytes) -> None:
    """Without this bound, 100 MB of it made the server 170 MB larger, without a key."""
    sent = 0
    connection.sendall(begin)
    with contextlib.suppress(ConnectionError):
        while sent < 100 << 20:
            sent += connection.send(begin[-1:] * 65536)
    assert sent < 20 << 20  # what buffers of the kernel hold


def test_headers_after_the_body_are_dropped(connection: socket.socket) -> None:
    chunks = b"%x\r\n%s\r\n0\r\nIdempotency-Key: late\r\n\r\n" % (len(BODY), BODY)
    sent = b"POST /execute HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    first, again = answer_to(connection, sent), answer_to(connection, sent)
    assert first[2]["execution_id"] != again[2]["execution_id"]


@pytest.mark.parametrize(
    "garbage",
    [b"garbage\r\n\r\n", b"POST /execute HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["head", "body"],
)
def test_garbage_behind_a_request_is_not_taken_for_its_answer(
    server: Any, api: httpx.Client, connection: socket.socket, garbage: bytes
) -> None:
    path = api.post("/execute?wait=20", json={"project": "p", "code": "ask ?"}).headers["location"]
    version = api.get(path).json()["version"]
    query = f"GET {path}?wait=1&since={version} HTTP/1.1\r\n".encode() + HOST
    connection.sendall(query + b"\r\n" + garbage)
    assert connection.recv(65536) == b""
    api.post(f"{path}/cancel")
    assert " ERROR " not in "".join(server.printed)


def test_an_offer_to_upgrade_costs_no_body(connection: socket.socket) -> None:
    """Java's HttpClient sends it with its first request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    assert answer_to(connection, b"POST /execute HTTP/1.1\r\n" + JSON + upgrade + length + BODY)[0] == 202


class Impatient(BoundedHttp):
    patience = 0.3


@pytest.fixture(scope="module")
def impatient() -> Iterator[tuple[str, int]]:
    """uvicorn with a short patience, in front of an app that reads the body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/reads":
            while (message := await receive()).get("more_body"):
                pass
            if message["type"] == "http.disconnect":
                return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, http=Impatient, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(
    "sent",
    [b"G", b"GET / HTTP/1.1\r\nX: ", b"POST /reads HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{"],
    ids=["line", "header", "body"],
)
def test_what_is_not_whole_in_time_is_408(impatient: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        status, headers, problem = answer_to(connection, sent)
        assert status == 408
        check_problem(headers, problem, "request_timeout")
        assert headers["x-content-type-options"] == "nosniff"
        assert connection.recv(1) == b""


def test_a_connection_that_brings_nothing_is_closed_without_a_word(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        assert connection.recv(1) == b""


def test_what_was_answered_gets_no_second_answer_when_the_rest_is_late(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        assert answer_to(connection, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{")[0] == 200
        assert connection.recv(1) == b""


def test_a_request_in_time_rearms_the_patience(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        for _ in range(4):
            time.sleep(0.15)
            assert answer_to(connection, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")[0] == 200


def test_a_client_that_leaves_while_it_sends_is_no_fault_of_the_server(server: Any, connection: socket.socket) -> None:
    connection.sendall(b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 100\r\n\r\n{")
    time.sleep(0.1)
    connection.close()
    assert httpx.get(f"{server.url}/health", timeout=30).status_code == 200
    assert " ERROR " not in "".join(server.printed)


def test_blanks_behind_a_header_are_no_part_of_it(connection: socket.socket) -> None:
    head = b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: %d\r\n" % len(BODY)
    requests = [head + b"Idempotency-Key: " + key + b"\r\n\r\n" + BODY for key in (b"k", b"k ", b"k \t")]
    assert len({answer_to(connection, request)[2]["execution_id"] for request in requests}) == 1


def test_requests_sent_ahead_are_answered_in_their_order(connection: socket.socket) -> None:
    ids = [f"ahead-{number}" for number in range(100)]
    connection.sendall(
        b"".join(b"GET /health HTTP/1.1\r\n" + HOST + b"X-Request-ID: %s\r\n\r\n" % name.encode() for name in ids)
    )
    received = b""
    while received.count(b'{"status":"ok"}') < len(ids):
        received += (piece := connection.recv(65536))
        assert piece
    assert re.findall(rb"x-request-id: (\S+)", received) == [name.encode() for name in ids]


@pytest.mark.parametrize("waits", [False, True])
def test_a_flood_of_requests_ends_its_connection_and_delays_nobody(
    api: httpx.Client, connection: socket.socket, waits: bool
) -> None:
    first = b""
    if waits:
        execution = api.post("/execute", json={"project": "p", "code": "sleep 5"}).headers["location"]
        first = b"GET %s?wait=30 HTTP/1.1\r\n" % execution.encode() + HOST + b"\r\n"
    sent, answered = 50_000, 0
    with contextlib.suppress(ConnectionError):
        connection.sendall(first + (b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n") * sent)
        while piece := connection.recv(65536):
            answered += piece.count(b"HTTP/1.1 200")
    assert answered < sent
    assert api.get("/health").status_code == 200
