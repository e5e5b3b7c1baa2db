"""How a real server ends: executions may finish, agents can still poll and answer, and nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from airlock import Backend, BackendSettings, Job, MediatorSettings, Outcome, Pool, Project, Run
from airlock.config.config import Config
from airlock.config.projects import ProjectConfig
from airlock.gateway.gateway import Gateway
from airlock.llm.agent import AgentMediator
from airlock.plugins.manager import Plugins
from airlock.running.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from tests.conftest import RunningServer

    Serve = Callable[..., RunningServer]


def configured(grace: float, start: float = 0) -> str:
    backend = f"{{type: scripted, start: {start}}}"
    return f"projects: {{p: {{replicas: 2, limits: {{shutdown_grace: {grace}}}, backend: {backend}}}}}\n"


def execute(server: RunningServer, code: str) -> str:
    response = httpx.post(f"{server.url}/execute", json={"project": "p", "code": code})
    assert response.status_code == 202
    return f"{server.url}{response.headers['location']}"


def until(url: str, status: str) -> dict[str, Any]:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        body: dict[str, Any] = httpx.get(url).json()
        if body["status"] == status:
            return body
        time.sleep(0.01)
    raise AssertionError(f"{url} did not become {status}: {body}")


def end_of(url: str) -> dict[str, Any]:
    """Wait for an execution in one request: the server may have ended before the next one."""
    body: dict[str, Any] = httpx.get(url, params={"wait": 30}, timeout=60).json()
    return body


@pytest.fixture
def waiting() -> Iterator[Executor]:
    """A thread for a request that waits: sent before the signal, for the server may end as soon as it is answered."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that a script with `await {go}` waits for."""
    return tmp_path / "go"


def only_child(server: RunningServer) -> Path:
    give_up = time.monotonic() + 60
    while not (children := server.children()) and time.monotonic() < give_up:
        time.sleep(0.01)
    [pid] = children
    return Path(f"/proc/{pid}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_server_ends_with_0(serve: Serve, number: signal.Signals) -> None:
    server = serve(configured(grace=600), is_new=True)
    server.line_with("project p is up")
    assert server.url
    server.process.send_signal(number)
    assert server.ended() == 0
    server.line_with("stopped")
    assert "Traceback" not in "".join(server.printed)


def test_what_runs_may_finish_and_can_be_polled_meanwhile(serve: Serve, waiting: Executor, go: Path) -> None:
    server = serve(configured(grace=600))
    execution = execute(server, f"await {go}\nresult 42")
    until(execution, "running")
    end = waiting.submit(end_of, execution)
    server.process.send_signal(signal.SIGTERM)
    server.line_with("shutting down")
    refused = httpx.post(f"{server.url}/execute", json={"project": "p", "code": "say too late"})
    assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"]
    for change in ("up", "down"):
        refused = httpx.post(f"{server.url}/projects/p/{change}")
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
    assert httpx.get(f"{server.url}/health").status_code == 200
    [project] = httpx.get(f"{server.url}/projects").json()["projects"]
    assert (project["status"], project["running"]) == ("up", 1)
    assert "shutting down" in project["detail"]
    assert httpx.get(execution).json()["status"] == "running"
    go.touch()
    assert end.result()["result"] == 42
    assert server.ended() == 0


def test_an_answer_is_taken_while_it_drains(serve: Serve, go: Path) -> None:
    server = serve(configured(grace=600))
    busy = execute(server, f"await {go}")
    asking = execute(server, "ask what now?")
    until(busy, "running")
    until(asking, "awaiting_llm")
    server.process.send_signal(signal.SIGTERM)
    server.line_with("shutting down")
    assert httpx.post(f"{asking}/respond", json={"response": "go home"}).status_code == 200
    assert end_of(asking)["result"] == "go home"
    go.touch()
    assert server.ended() == 0


def test_what_waits_for_an_answer_does_not_hold_it(serve: Serve) -> None:
    server = serve(configured(grace=600))
    until(execute(server, "ask anybody there?"), "awaiting_llm")
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0


def test_after_the_grace_what_runs_is_killed(serve: Serve) -> None:
    server = serve(configured(grace=0.2))
    until(execute(server, "sleep 600"), "running")
    child = only_child(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not child.exists()


def test_each_project_has_its_own_grace(serve: Serve, waiting: Executor, go: Path) -> None:
    patient = "  q: {limits: {shutdown_grace: 600}, backend: scripted}\n"
    server = serve(f"projects:\n  p: {{limits: {{shutdown_grace: 0.2}}, backend: scripted}}\n{patient}")
    until(short := execute(server, "sleep 600"), "running")
    response = httpx.post(f"{server.url}/execute", json={"project": "q", "code": f"await {go}\nresult 1"})
    until(long := f"{server.url}{response.headers['location']}", "running")
    end = waiting.submit(end_of, long)
    server.process.send_signal(signal.SIGTERM)
    assert end_of(short)["error_type"] == "interrupted"
    assert httpx.get(long).json()["status"] == "running"
    go.touch()
    assert end.result()["result"] == 1
    assert server.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_grace_and_leaves_nothing_behind(serve: Serve, number: signal.Signals) -> None:
    server = serve(configured(grace=600))
    until(execute(server, "sleep 600"), "running")
    child = only_child(server)
    server.process.send_signal(number)
    server.line_with("shutting down")
    server.process.send_signal(number)
    assert server.ended() == 0
    assert not child.exists()
    assert "Traceback" not in "".join(server.printed)


def test_a_terminal_that_is_closed_ends_it_gently_however_often_it_says_so(
    serve: Serve, waiting: Executor, go: Path
) -> None:
    server = serve(configured(grace=600))
    execution = execute(server, f"await {go}\nresult 42")
    until(execution, "running")
    end = waiting.submit(end_of, execution)
    server.process.send_signal(signal.SIGHUP)
    server.line_with("shutting down")
    server.process.send_signal(signal.SIGHUP)
    assert httpx.get(execution).json()["status"] == "running"
    go.touch()
    assert end.result()["result"] == 42
    assert server.ended() == 0


def test_under_nohup_a_closed_terminal_does_not_end_it(serve: Serve) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a child keeps that
    try:
        server = serve(configured(grace=0), is_new=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert server.url
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_two_signals_at_once_are_a_first_and_a_second(serve: Serve) -> None:
    server = serve(configured(grace=600))
    until(execute(server, "sleep 600"), "running")
    child = only_child(server)
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    assert server.ended() == 0
    assert not child.exists()


def test_a_project_that_is_starting_does_not_hold_it_and_leaves_nothing_behind(serve: Serve) -> None:
    server = serve(configured(grace=600, start=600))
    assert server.url
    child = only_child(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.ended() == 0
    assert not child.exists()


def test_a_client_that_never_finishes_its_request_does_not_hold_it(serve: Serve) -> None:
    server = serve(configured(grace=600))
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        connection.sendall(b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        httpx.get(f"{url}/health")
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def test_it_can_listen_again_at_once(serve: Serve) -> None:
    first = serve(configured(grace=0))
    port = str(httpx.URL(first.url).port)
    with httpx.Client() as client:
        client.get(f"{first.url}/health")
        first.process.send_signal(signal.SIGTERM)
        assert first.ended() == 0
    second = serve(configured(grace=0), "--port", port)
    assert httpx.get(f"{second.url}/health").status_code == 200


class StuckBackend(Backend[BackendSettings]):
    """A backend whose `close` does not return in time."""

    type = "stuck"

    async def scale(self, replicas: int) -> None: ...

    def pool(self) -> Pool:
        return Pool(replicas=1, idle=1)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome()

    async def close(self) -> None:
        await asyncio.sleep(600)


@pytest.mark.anyio
async def test_a_backend_that_does_not_close_holds_the_end_no_longer_than_the_patience(
    caplog: pytest.LogCaptureFixture,
) -> None:
    project = ProjectConfig(
        project=Project(name="p"),
        backend=StuckBackend,
        backend_settings=BackendSettings(),
        mediator=AgentMediator,
        mediator_settings=MediatorSettings(),
    )
    stuck = Gateway(Config(projects={"p": project}), Plugins(), patience=Patience(closing=0.05))
    await stuck.start()
    async with asyncio.timeout(60):
        await stuck.close()
    assert "project p could not be closed within 0.05 s" in caplog.text
