"""What operators read when packages cannot be installed: real failures of the real installer."""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airlock import BackendUnavailable, Project
from airlock.sandbox import install_packages

pytestmark = pytest.mark.anyio

CLOSED = "127.0.0.1:9"  # discard: nobody listens there
Answers = Callable[..., str]


@pytest.fixture(autouse=True)
def _only_what_a_test_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("UV_", "SSL_CERT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://index.invalid/simple")


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Start servers that answer everything with one status; returns their host and port."""
    with ExitStack() as until_end:

        def start(status: int, certificate: Path | None = None) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

                do_CONNECT = do_GET  # noqa: N815 - the name that the base class looks for

                def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class's name

            server = until_end.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            server.daemon_threads = True
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            until_end.callback(server.shutdown)
            return f"127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def self_signed(tmp_path: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    subprocess.run([*command, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text("".join(file.read_text() for file in files))
    return both


async def failure(target: Path, package: str = "no-such-package-of-airlock") -> BackendUnavailable:
    target.mkdir(exist_ok=True)
    with pytest.raises(BackendUnavailable) as caught:
        await install_packages(Project(name="p", packages=(package,)), target, f"--python={sys.executable}")
    assert caught.value.detail.startswith("The packages of project p cannot be installed: ")
    assert caught.value.detail.endswith(".")
    assert "Using CPython" not in caught.value.detail
    assert "cause:" not in caught.value.detail
    return caught.value


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    monkeypatch.setenv(variable, f"http://ada:hunter2@{CLOSED}")
    error = await failure(tmp_path / "site")
    assert "HTTPS_PROXY=http://NAME" in error.remedy
    assert f"Set here: {variable}." in error.remedy
    assert "Failed to fetch: https://index.invalid/simple/no-such-package-of-airlock/; " in error.detail
    assert "hunter2" not in str(error)


async def test_a_proxy_that_wants_a_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{answers(407)}")
    error = await failure(tmp_path / "site")
    assert "HTTPS_PROXY=http://NAME:PASSWORD@" in error.remedy
    assert "Set here: HTTPS_PROXY." in error.remedy


async def test_a_name_that_does_not_resolve(tmp_path: Path) -> None:
    error = await failure(tmp_path / "site")
    assert "; dns error; " in error.detail
    assert "index.invalid" in error.detail
    assert "/etc/resolv.conf" in error.remedy
    assert "No proxy variable is set here." in error.remedy


async def test_an_index_that_nobody_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{CLOSED}/simple")
    assert "UV_DEFAULT_INDEX" in (await failure(tmp_path / "site")).remedy


async def test_a_certificate_that_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers, self_signed: Path
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"https://{answers(200, self_signed)}/simple")
    assert "SSL_CERT_FILE" in (await failure(tmp_path / "site")).remedy


@pytest.mark.parametrize(
    ("scheme", "status", "said"),
    [
        ("http", 401, "401 Unauthorized"),
        ("http", 403, "403 Forbidden"),
        ("http", 503, "503 Service Unavailable"),
        ("https", 200, "InvalidContentType"),
    ],
)
async def test_an_index_that_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers, scheme: str, status: int, said: str
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{scheme}://{answers(status)}/simple")
    error = await failure(tmp_path / "site")
    assert said in error.detail
    assert "address and credentials (UV_DEFAULT_INDEX=" in error.remedy


async def test_without_network_on_purpose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert "Set here: UV_OFFLINE." in (await failure(tmp_path / "site")).remedy


async def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "file" / "cache"))
    error = await failure(tmp_path / "site")
    assert "file/cache" in error.detail
    assert "Correct what uv names there" in error.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", full], check=True)
    try:
        monkeypatch.setenv("UV_CACHE_DIR", str(full / "cache"))
        error = await failure(tmp_path / "site")
        assert "No space left" in error.detail
        assert "df -h" in error.remedy
    finally:
        subprocess.run(["umount", full], check=True)


async def test_a_package_that_is_nowhere_and_one_without_a_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: Answers
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / "onlysource-1.0.tar.gz").touch()
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://{answers(404)}/simple")
    assert "Correct the name or the version in `packages`" in (await failure(tmp_path / "site")).remedy
    assert "Only wheels" in (await failure(tmp_path / "site", "onlysource")).remedy
