"""What comes before a route: HTTP itself, its bounds, and what browsers are made to send. Against a server process."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from airlock.http.connection import BoundedHttp

CONFIG = "projects: {p: {backend: scripted, replicas: 2}}\n"
HOST = b"Host: localhost\r\n"
BODY = json.dumps({"project": "p", "code": "result 1"}).encode()
JSON = HOST + b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(serve_all: Callable[..., Any]) -> Any:
    started = serve_all(CONFIG)
    while httpx.get(f"{started.url}/ready", timeout=30).status_code != 200:
        time.sleep(0.01)
    return started


@pytest.fixture(scope="module")
def api(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def connection(server: Any) -> Iterator[socket.socket]:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        yield connection


def answer_to(connection: socket.socket, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes, and read one response."""
    connection.sendall(sent)
    return response(connection)


def response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := connection.recv(65536))
        assert piece, received
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, json.loads(body)


def check_problem(headers: dict[str, str], problem: dict[str, Any], code: str) -> None:
    assert headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["request_id"] == headers["x-request-id"]


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
    """Without that, 100 MB of it made the server 170 MB larger, without a key."""
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
    """uvicorn with a short patience, before an app that reads the body."""

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
    [b"G", b"GET / HTTP/1.1\r\nX: ", b"POST /reads HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"],
    ids=["line", "header", "body"],
)
def test_what_is_not_whole_in_time_is_408(impatient: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        status, headers, problem = answer_to(connection, sent)
        assert status == 408
        check_problem(headers, problem, "request_timeout")
        assert connection.recv(1) == b""


def test_a_connection_that_brings_nothing_is_closed_without_a_word(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        assert connection.recv(1) == b""


def test_what_was_answered_gets_no_second_answer_when_the_rest_is_late(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        assert answer_to(connection, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")[0] == 200
        assert connection.recv(1) == b""


def test_a_request_in_time_rearms_the_patience(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=30) as connection:
        for _ in range(4):
            time.sleep(0.15)
            assert answer_to(connection, b"GET / HTTP/1.1\r\n\r\n")[0] == 200


# --- bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(connection: socket.socket) -> None:
    status, headers, problem = answer_to(
        connection, b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 99999999999\r\n\r\n"
    )
    assert status == 413
    check_problem(headers, problem, "content_too_large")


@pytest.mark.parametrize(
    ("begin", "more", "status"),
    [
        (b"GET /executions/none HTTP/1.1\r\n", HOST, 404),
        (b"GET /executions/none?x=1 HTTP/1.1\r\n", HOST, 422),
        (b"POST /execute?x=1 HTTP/1.1\r\n", JSON, 422),
        (b"POST /execute HTTP/1.1\r\n", JSON + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", 422),
    ],
)
def test_what_the_body_does_not_matter_for_does_not_wait_for_it(
    connection: socket.socket, begin: bytes, more: bytes, status: int
) -> None:
    connection.settimeout(20)
    assert answer_to(connection, begin + more + b"Content-Length: 5\r\n\r\n")[0] == status


def test_a_body_is_asked_for_before_values_are_looked_at(connection: socket.socket) -> None:
    head = b"POST /execute?wait=31 HTTP/1.1\r\n" + JSON + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    connection.sendall(head)
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    assert answer_to(connection, b"{}   ")[0] == 422


def test_a_body_that_does_not_say_it_is_too_large_is_refused_when_it_is(api: httpx.Client) -> None:
    pieces = (b" " * (1 << 20) for _ in range(20))
    refused = api.post("/execute", content=pieces, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (413, "content_too_large")


@pytest.mark.parametrize("when", ["at first", "again, after clients have left"])
def test_large_bodies_that_come_in_at_once_are_bounded_together(server: Any, api: httpx.Client, when: str) -> None:
    url, size = httpx.URL(server.url), 15 << 20
    head = b"POST /execute HTTP/1.1\r\n" + JSON + f"Content-Length: {size}\r\n\r\n".encode()
    large: dict[str, Any] = {"content": b" " * size, "headers": {"Content-Type": "application/json"}}
    with contextlib.ExitStack() as stack:
        for _ in range(8):  # 120 of 128 MiB
            slow = stack.enter_context(socket.create_connection((url.host, url.port or 0), timeout=30))
            slow.sendall(head + b" " * (size - 1))  # all but the last byte
        refused = api.post("/execute", **large)
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_bodies"), when
        assert refused.headers["Retry-After"] == "5"
        assert api.post("/execute", json={"project": "p", "code": "result 1"}).status_code == 202
        assert answer_to(slow, b" ")[0] == 400
        assert api.post("/execute", **large).status_code == 400


def test_a_client_that_leaves_while_it_sends_is_no_fault_of_the_server(server: Any, connection: socket.socket) -> None:
    connection.sendall(b"POST /execute HTTP/1.1\r\n" + JSON + b"Content-Length: 100\r\n\r\n{")
    time.sleep(0.1)
    connection.close()
    assert httpx.get(f"{server.url}/health", timeout=30).status_code == 200
    assert " ERROR " not in "".join(server.printed)


@pytest.mark.parametrize(
    ("method", "path", "location", "says"),
    [
        ("POST", "/execute?waits=1", "query.waits", "there is wait"),
        ("GET", "/executions?projects=p", "query.projects", "there is cursor, limit, project, status"),
        ("POST", "/executions/x/cancel?wait=1", "query.wait", "there is none here"),
        ("GET", "/executions?limit=1&limit=2", "query.limit", "given 2 times"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_422(
    api: httpx.Client, method: str, path: str, location: str, says: str
) -> None:
    refused = api.request(method, path, json=json.loads(BODY) if path.startswith("/execute?") else None)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert [error["location"] for error in refused.json()["errors"]] == [location]
    assert says in refused.json()["errors"][0]["message"]


def test_two_idempotency_keys_are_422(api: httpx.Client) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "other")]
    refused = api.post("/execute", json=json.loads(BODY), headers=keys)
    assert (refused.status_code, refused.json()["errors"][0]["location"]) == (422, "header.idempotency-key")


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


def test_a_compressed_body_is_415(api: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert api.post("/execute", content=b"\x1f\x8b", headers=headers).status_code == 415


# --- paths and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/projects/", 404),
        ("//projects", 404),
        ("/executions/%FF%FE", 404),
        ("/executions/%ZZ", 404),
        ("/executions/%00", 404),
        ("/executions/a%2Fb", 404),
        ("/executions/..%2F..%2Fprojects", 404),
        ("/executions?cursor=%FF", 422),
        ("/executions?status=%ED%A0%80", 422),
        ("/executions?project=%00", 422),
        ("/executions?limit=%ZZ", 422),
        ("/executions?limit=1&limit=x", 422),
    ],
)
def test_a_strange_path_is_a_problem(connection: socket.socket, path: str, status: int) -> None:
    got, headers, problem = answer_to(connection, f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert got == status
    assert headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/executions", "/openapi.json", "/docs"])
def test_head_answers_like_get_without_a_body(api: httpx.Client, path: str) -> None:
    head, get = api.head(path), api.get(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    changing = {"x-request-id", "date"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/execute", "POST"),
        ("HEAD", "/execute", "POST"),
        ("OPTIONS", "/execute", "POST"),
        ("DELETE", "/executions/x", "GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
        ("PUT", "/openapi.json", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    refused = api.request(method, path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert refused.json()["code"] == "method_not_allowed"


# --- browsers --------------------------------------------------------------------------------------------------------

PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}, 403),
        ("POST", {**PAGE, "Content-Type": "text/plain"}, 403),
        ("POST", {**PAGE, "Content-Type": "application/json", "Sec-Fetch-Mode": "cors"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 403),
        ("POST", {"Host": "rebound.example", "Content-Type": "application/json"}, 403),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {}, 415),
        ("OPTIONS", {**PAGE, "Access-Control-Request-Method": "POST"}, 403),
        ("OPTIONS", {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}, 405),
    ],
    ids=str,
)
def test_a_page_in_a_browser_runs_nothing(api: httpx.Client, method: str, headers: dict[str, str], status: int) -> None:
    before = api.get("/executions").json()
    refused = api.request(method, "/execute", content=BODY, headers=headers)
    assert refused.status_code == status
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    assert api.get("/executions").json()["executions"][:1] == before["executions"][:1]
