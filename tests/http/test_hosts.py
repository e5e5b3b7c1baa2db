"""Which hosts are this machine, and what a request may say of its host: over a socket, in raw bytes."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.http.conftest import answer_to, check_problem

from airlock.http.hosts import is_local, is_local_authority, is_local_origin


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "localhost.", "127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"]
)
def test_local_hosts(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "localhost..",
        "a.localhost",
        "[::1]",
        "::1%evil.example",
        "localhost.evil.com",
        "evil-localhost",
        "127.0.0.1.nip.io",
        "127.0.0.1.",
        "128.0.0.1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "169.254.169.254",
        "2130706433",
        "0x7f000001",
        "127.1",
        "::ffff:10.0.0.1",
        "localhost\\.evil.com",
        "localhost\0",
        "ⅼocalhost",
    ],
)
def test_hosts_that_are_not_certainly_local(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize("value", ["localhost", "LOCALHOST.:1", "127.0.0.1:65535", "[::1]", "[0:0:0:0:0:0:0:1]:80"])
def test_local_authorities(value: str) -> None:
    assert is_local_authority(value)
    assert is_local_origin(f"http://{value}")
    assert is_local_origin(f"https://{value}")


NOT_LOCAL = (
    *("evil.example@127.0.0.1", "@localhost", "localhost@", "[::1]evil.example", "evil[::1]", "[[::1]]", "[::1", "::1"),
    *("[127.0.0.1]", "[localhost]", "[::1%25lo]", "localhost:", "localhost:0", "localhost:65536", "localhost:080808"),
    *(
        "localhost:+80",
        "localhost:８０",
        "localhost:80:80",
        " localhost",
        "localhost\n",
        "localhost/",
        "localhost?",
        "",
    ),
    *("localhost#", "localhost\\", "%6cocalhost", "localhost,localhost", "127.0.0.1.evil.example", ""),
)


@pytest.mark.parametrize("value", NOT_LOCAL)
def test_authorities_that_are_not_certainly_local(value: str) -> None:
    assert not is_local_authority(value)
    assert not is_local_origin(f"http://{value}")


# --- over a socket ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyless(serve_all: Callable[..., Any]) -> Any:
    """A server without keys that runs code, so that only this machine may use it."""
    return serve_all("projects: {p: {backend: scripted}}\n")


@pytest.fixture
def connect(keyless: Any) -> Iterator[socket.socket]:
    url = httpx.URL(keyless.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        yield connection


LOCAL, FOREIGN = b"Host: localhost\r\n", b"Host: evil.example\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /projects HTTP/1.1\r\n" + LOCAL + LOCAL,
        b"GET /projects HTTP/1.1\r\n" + LOCAL + FOREIGN,
        b"GET /projects HTTP/1.1\r\n" + FOREIGN + LOCAL,
        b"GET /projects HTTP/1.0\r\n" + LOCAL + LOCAL,
        b"GET http://localhost/projects HTTP/1.1\r\n" + LOCAL + LOCAL,
        b"GET /projects HTTP/1.1\r\n",
        b"GET /projects HTTP/2.0\r\n",
        b"GET http://localhost/projects HTTP/1.1\r\n",
        b"GET /projects HTTP/1.1\r\nHost: evil.example@127.0.0.1\r\n",
        b"GET /projects HTTP/1.1\r\nHost: [::1]evil.example\r\n",
        b"GET /projects HTTP/1.1\r\nHost: localhost, evil.example\r\n",
        b"GET /projects HTTP/1.1\r\nHost: localhost/\r\n",
        b"GET /projects HTTP/1.1\r\nHost: localh\xf6st\r\n",
        b"GET http://evil.example@localhost/projects HTTP/1.1\r\n" + LOCAL,
        b"GET http://[::1]evil.example/projects HTTP/1.1\r\n" + LOCAL,
        b"GET ftp://localhost/projects HTTP/1.1\r\n" + LOCAL,
        b"CONNECT localhost:80 HTTP/1.1\r\n" + LOCAL,
    ],
)
def test_a_request_without_one_valid_host_is_400_for_everyone(connect: socket.socket, sent: bytes) -> None:
    status, headers, problem = answer_to(connect, sent + b"\r\n")
    assert status == 400
    check_problem(headers, problem, "bad_request")
    assert connect.recv(1) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /projects HTTP/1.0\r\n",  # which knew no Host: nothing says that it is meant for this machine
        b"GET /projects HTTP/1.0\r\n" + FOREIGN,
        b"GET /projects HTTP/1.1\r\n" + FOREIGN,
        b"GET /projects HTTP/1.1\r\nHost:\r\n",
        b"GET /projects HTTP/1.1\r\nHost: localhost:\r\n",
        b"GET /projects HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n",
        b"GET http://evil.example/projects HTTP/1.1\r\n" + LOCAL,
        b"GET HTTPS://evil.example HTTP/1.1\r\n" + LOCAL,
        b"GET http://evil.example/projects HTTP/1.0\r\n",
        b"GET /projects HTTP/1.1\r\nOrigin: http://evil.example@127.0.0.1\r\n" + LOCAL,
    ],
)
def test_a_host_that_is_not_certainly_local_is_403(connect: socket.socket, sent: bytes) -> None:
    status, headers, problem = answer_to(connect, sent + b"\r\n")
    assert status == 403
    check_problem(headers, problem, "not_local")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /projects HTTP/1.0\r\n" + LOCAL, 200),
        (b"GET http://localhost/projects HTTP/1.1\r\n" + LOCAL, 200),
        (b"GET http://[::1]:8000/projects?a=1 HTTP/1.1\r\n" + FOREIGN, 200),  # the target counts, not the header
        (b"GET http://localhost HTTP/1.1\r\n" + LOCAL, 404),
        (b"GET http://localhost?a=1 HTTP/1.1\r\n" + LOCAL, 404),
    ],
)
def test_a_whole_uri_as_target_names_the_host(connect: socket.socket, sent: bytes, status: int) -> None:
    assert answer_to(connect, sent + b"\r\n")[0] == status
