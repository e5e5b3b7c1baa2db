"""A real server: what it says when it starts or cannot start, and whom it serves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]

MOCK = "projects: {echo: {backend: mock}}\n"
RUNS_CODE = "projects: {code: {backend: scripted}}\n"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_serves_and_says_what(serve: Serve) -> None:
    config = "default_backend: mock\nprojects: {echo: {backend: mock}, off: {backend: mock, replicas: 0}}\n"
    server = serve(config, is_new=True)
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    banner = "".join(server.printed)
    assert "airlock.yaml" in server.line_with("Airlock serves")
    row = " ".join(server.line_with("  echo").split())
    assert row == "echo up replicas 1 backend mock isolation: runs no code"
    assert "replicas is 0" in server.line_with("  off")
    assert "default_backend" in server.line_with("warning: ")
    assert "a restart loses them" in banner
    assert f"anyone who can reach {httpx.URL(server.url).netloc.decode()} is served" in banner


def test_says_when_a_slow_project_is_up_and_does_not_wait_for_it(serve: Serve) -> None:
    server = serve("projects: {slow: {replicas: 2, backend: {type: scripted, start: 1}}, echo: {backend: mock}}\n")
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert "installing" in server.line_with("  slow")
    assert "replicas 2, backend scripted, isolation: none: for tests" in server.line_with("project slow is up")


def test_a_project_that_cannot_come_up_is_named_with_the_remedy_and_hurts_no_other(serve: Serve) -> None:
    server = serve("projects: {bad: {backend: {type: scripted, unavailable: No sandbox.}}, echo: {backend: mock}}\n")
    server.line_with("project bad is down: No sandbox. Mend it.")
    assert httpx.post(f"{server.url}/execute", json={"project": "echo", "code": "x"}).status_code == 202
    refused = httpx.post(f"{server.url}/execute", json={"project": "bad", "code": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "project_down")


def test_a_port_in_use_ends_it_with_1_and_without_a_traceback(serve: Serve, taken_port: int) -> None:
    server = serve(MOCK, "--host", "127.0.0.1", "--port", str(taken_port))
    assert server.ended() == 1
    [line] = server.printed
    assert line.startswith(f"error: cannot listen on 127.0.0.1:{taken_port}: Address already in use")
    assert line.endswith("choose with --host and --port\n")


def test_a_port_of_the_file_that_is_in_use_is_named_with_its_place(serve: Serve, taken_port: int) -> None:
    server = serve(f"server:\n  host: 127.0.0.1\n  port: {taken_port}\n{MOCK}", "--port", str(taken_port))
    assert server.ended() == 1
    assert server.printed[0].startswith("error: cannot listen on ")
    server = serve(None, "--config", "airlock.yaml")  # no --port
    assert server.ended() == 1
    [line] = server.printed
    assert line.startswith(f"error: airlock.yaml:3:3: server.port: cannot listen on 127.0.0.1:{taken_port}: Address al")


def test_a_store_that_cannot_be_used_is_named_with_its_place(serve: Serve) -> None:
    server = serve(f"{MOCK}store: {{type: sqlite, path: /proc/nowhere/x.db}}\n")
    assert server.ended() == 1
    assert server.line_with(
        "error: airlock.yaml:2:1: store: /proc/nowhere: No such file or directory; store.path needs"
    )


def test_an_unknown_host_ends_it_with_1_and_without_a_traceback(serve: Serve) -> None:
    server = serve(MOCK, "--host", "no-such-host.invalid")
    assert server.ended() == 1
    [line] = server.printed
    assert line.startswith("error: cannot listen on no-such-host.invalid:0: ")


def test_config_errors_end_it_with_1_and_a_line_each(serve: Serve) -> None:
    server = serve("sever: {}\nprojects: {p: {backend: nope}}\n")
    assert server.ended() == 1
    assert len(server.printed) == 2
    assert "airlock.yaml:1:1: sever: " in server.printed[0]
    assert "projects.p.backend" in server.printed[1]


def test_a_useless_key_ends_it_with_1(serve: Serve) -> None:
    server = serve(MOCK, AIRLOCK_API_KEY="")
    assert server.ended() == 1
    assert [line.partition(";")[0] for line in server.printed] == [
        "AIRLOCK_API_KEY: must be printable ASCII and not empty"
    ]


# --- whom it serves --------------------------------------------------------------------------------------------------


def test_mock_alone_listens_on_every_address(serve: Serve) -> None:
    assert serve(MOCK).url.startswith("http://0.0.0.0:")


def test_without_a_file_it_says_in_which_folder_and_that_it_only_echoes(serve: Serve, tmp_path: Path) -> None:
    server = serve(None)
    warning = server.line_with("warning: ")
    assert f"there is no airlock.yaml in {tmp_path}, and AIRLOCK_CONFIG is not set" in warning
    assert "only echoes" in warning
    assert "airlock init" in warning
    assert "mock-project" in server.line_with("  mock-project")
    port = httpx.URL(server.url).port
    assert server.line_with(f"anyone who can reach 0.0.0.0:{port} is served")
    ran = httpx.post(f"http://127.0.0.1:{port}/execute?wait=10", json={"project": "python", "code": "1 / 0"}).json()
    assert (ran["status"], ran["result"]) == ("completed", {"echo": "1 / 0"})


@pytest.mark.parametrize(
    ("config", "environ", "told"),
    [
        ("", {}, "airlock.yaml:1:1: the file is empty"),
        ("# server: {}\n", {}, "airlock.yaml:1:1: the file is empty"),
        (None, {"AIRLOCK_CONFIG": ""}, "AIRLOCK_CONFIG is set and empty"),
    ],
)
def test_a_configuration_that_was_lost_does_not_become_an_open_echo(
    serve: Serve, config: str | None, environ: dict[str, str], told: str
) -> None:
    server = serve(config, **environ)
    assert server.ended() == 1
    [line] = server.printed
    assert line.startswith(told)


def test_where_code_runs_it_listens_on_loopback(serve: Serve) -> None:
    server = serve(RUNS_CODE)
    assert server.url.startswith("http://127.0.0.1:")
    server.line_with("only programs on this machine")


def test_where_code_runs_another_host_is_refused_with_the_remedy(serve: Serve) -> None:
    server = serve(RUNS_CODE, "--host", "0.0.0.0")
    assert server.ended() == 1
    [line] = server.printed
    assert "refusing to listen on 0.0.0.0" in line
    assert "AIRLOCK_API_KEY" in line


def test_a_host_from_the_file_is_refused_just_so(serve: Serve) -> None:
    server = serve(f"server: {{host: 0.0.0.0}}\n{RUNS_CODE}")
    assert server.ended() == 1
    assert server.line_with("airlock.yaml:1:10: server.host: refusing to listen on 0.0.0.0: ")


def test_with_a_key_any_host_is_served_to_those_who_send_it(serve: Serve) -> None:
    server = serve(RUNS_CODE, "--host", "0.0.0.0", AIRLOCK_API_KEY="hunter2")
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/projects").status_code == 401
    assert httpx.get(f"{url}/projects", headers={"Authorization": "Bearer hunter2"}).status_code == 200
    assert "hunter2" not in "".join(server.printed)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
    ],
    ids=str,
)
def test_what_a_browser_or_a_proxy_sends_for_others_is_403(serve: Serve, headers: dict[str, str]) -> None:
    url = serve(RUNS_CODE).url
    body = {"project": "code", "code": "say hello"}
    refused = httpx.post(f"{url}/execute", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_local")
    assert httpx.post(f"{url}/execute", json=body).status_code == 202


def test_a_request_without_a_host_is_403(serve: Serve) -> None:
    url = httpx.URL(serve(RUNS_CODE).url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        connection.sendall(b"GET /projects HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")


def test_it_uses_all_descriptors_that_the_machine_allows(serve: Serve) -> None:
    server = serve(MOCK)
    server.line_with("Listening on ")
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    [line] = [line for line in limits if line.startswith("Max open files")]
    _, soft, hard, _ = line.rsplit(maxsplit=3)
    assert soft == hard


# --- nobody reads what it says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "streams"),
    [
        ("plain", ">/dev/full 2>/dev/full"),
        ("json", "2>/dev/full"),
        ("plain", "<&- >&- 2>&-"),
        ("plain", "2> >(true)"),
    ],
)
def test_it_serves_and_ends_as_always_when_its_log_cannot_be_written(tmp_path: Path, style: str, streams: str) -> None:
    (tmp_path / "airlock.yaml").write_text(MOCK)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = f"exec {sys.executable} -m airlock --port {port} --log-format {style} {streams}"
    left_out = ("AIRLOCK_", "PYTHONUNBUFFERED")  # with that one nothing is left in a buffer
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    server = subprocess.Popen(["bash", "-c", command], cwd=tmp_path, env=inherited)
    try:
        give_up = time.monotonic() + 60
        while not is_served(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)
        refused = httpx.post(f"http://127.0.0.1:{port}/execute", json={"project": "nobodys", "code": "x"})
        assert refused.status_code == 404
        assert all(Path(f"/proc/{server.pid}/fd/{number}").readlink() for number in range(3))
        server.terminate()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def is_served(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
