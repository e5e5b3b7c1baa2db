"""Failing networks and servers: what is retried, what is not, and what the client says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from tests.client.conftest import CONFIG

from airlock.api import app
from airlock.client import (
    Airlock,
    AsyncAirlock,
    NotFound,
    QuotaExceeded,
    Unavailable,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Network
    from tests.conftest import RunningServer

    from airlock.client import OpenLLMRequest, Result

    Serve = Callable[..., RunningServer]
    MakeNetwork = Callable[[str | None], Network]

pytestmark = pytest.mark.anyio
IDEMPOTENT = pytest.mark.skipif(
    "idempotency-key" not in str(app.openapi()).lower(), reason="the server ignores the key"
)
LISTS = pytest.mark.skipif("/executions" not in app.openapi()["paths"], reason="the server lists nothing")

QUEUE_FULL = '{"status": 503, "code": "queue_full", "detail": "full", "request_id": "r"}'


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def slowly(_: OpenLLMRequest) -> str:
    time.sleep(30)
    return "too late"


def run_over(network: Network, code: str = "ask one\nsay done") -> Result:
    with Airlock(network.url, retry_for=20) as client:
        return client.run(code, project="p", llm=lambda request: request.prompt)


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["POST /execute ", "GET /executions/", "/respond"])
def test_a_request_that_is_lost_is_sent_again(url: str, network: MakeNetwork, on: str) -> None:
    bad = network(url)
    bad.loses_request(on)
    assert run_over(bad).stdout == "done\n"
    assert bad.count(on) >= 2


@IDEMPOTENT
@LISTS
@pytest.mark.parametrize("on", ["POST /execute ", "GET /executions/", "/respond"])
def test_a_reply_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(
    url: str, network: MakeNetwork, on: str
) -> None:
    bad = network(url)
    bad.loses_reply(on)
    with Airlock(url) as straight:
        before = len(list(straight.list()))
        assert run_over(bad).stdout == "done\n"
        assert len(list(straight.list())) == before + 1


def test_a_script_is_handed_over_again_with_the_same_idempotency_key_and_another_with_another(
    url: str, network: MakeNetwork
) -> None:
    bad = network(url)
    bad.loses_request("POST /execute ")
    with Airlock(bad.url) as client:
        client.submit("say hi", project="p")
        client.submit("say hi", project="p")
        client.submit("say hi", project="p", idempotency_key="mine")
    first, again, other, mine = (headers["idempotency-key"] for headers in bad.headers)
    assert first == again != other
    assert mine == "mine"


@pytest.mark.parametrize("on", ["POST /execute ", "GET /executions/", "/respond"])
@pytest.mark.parametrize("to", [5, 40, 250])
def test_a_reply_that_is_cut_off_is_asked_for_again(url: str, network: MakeNetwork, on: str, to: int) -> None:
    bad = network(url)
    bad.truncates_reply(on, to)
    assert run_over(bad).stdout == "done\n"


def test_an_answer_without_request_id_is_not_sent_twice(url: str, network: MakeNetwork) -> None:
    bad = network(url)
    with Airlock(bad.url) as client:
        execution_id = client.submit("ask one\nask two", project="p")
        client.get(execution_id, wait=10)
        bad.loses_reply("/respond")
        with pytest.raises(Unreachable) as raised:
            client.respond(execution_id, "1")
        assert raised.value.was_sent
        assert client.get(execution_id, wait=10).open_llm_requests[0].prompt == "two"
        client.cancel(execution_id)


def test_nobody_there_is_unreachable_with_the_url(free_port: int) -> None:
    with Airlock(f"http://127.0.0.1:{free_port}", retry_for=0.3) as client:
        with pytest.raises(Unreachable, match=f"http://127.0.0.1:{free_port} cannot be reached") as raised:
            client.projects()
        assert not raised.value.was_sent


async def test_the_async_client_tries_again_as_well(url: str, network: MakeNetwork) -> None:
    bad = network(url)
    bad.loses_request("POST /execute ")
    bad.loses_reply("/respond")
    bad.truncates_reply("GET /executions/", 50)
    bad.replies("GET /executions/", "503 Service Unavailable", QUEUE_FULL, "Retry-After: 0")
    async with AsyncAirlock(bad.url) as client:
        assert (await client.run("ask one", project="p", llm=lambda request: request.prompt)).result == "one"


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with (
        Airlock("http://airlock.invalid", retry_for=0) as client,
        pytest.raises(Unreachable, match=r"airlock\.invalid"),
    ):
        client.projects()


# --- a server that goes ----------------------------------------------------------------------------------------------


def test_a_server_that_starts_late_is_waited_for(serve: Serve, free_port: int) -> None:
    starter = threading.Timer(0.5, lambda: serve(CONFIG, "--port", str(free_port)))
    starter.start()
    with Airlock(f"http://127.0.0.1:{free_port}", retry_for=30) as client:
        assert client.run("say hi", project="p").stdout == "hi\n"
    starter.join()


def test_a_server_that_is_killed_and_never_comes_back_is_unreachable_with_the_id(serve: Serve) -> None:
    server = serve(CONFIG)
    with Airlock(server.url, retry_for=1) as client:
        threading.Timer(0.5, server.process.kill).start()
        with pytest.raises(Unreachable) as raised:
            client.run("ask q", project="p", llm=slowly)
    assert raised.value.execution_id


def test_a_server_that_is_killed_and_forgets_is_not_found(serve: Serve, free_port: int) -> None:
    server = serve(CONFIG, "--port", str(free_port))

    def restart() -> None:
        server.process.kill()
        server.process.wait()
        serve(CONFIG, "--port", str(free_port))

    with Airlock(server.url, retry_for=30) as client:
        restarter = threading.Timer(0.5, restart)
        restarter.start()
        with pytest.raises(NotFound) as raised:
            client.run("ask q", project="p", llm=slowly)
        restarter.join()
    assert raised.value.code == "execution_not_found"


def test_a_server_that_shuts_down_while_a_run_waits_is_not_asked_in_a_tight_loop(
    serve: Serve, network: MakeNetwork
) -> None:
    server = serve("projects: {p: {backend: scripted, limits: {shutdown_grace: 3}}}\n")
    counting = network(server.url)
    with Airlock(counting.url, retry_for=1) as client:
        threading.Timer(0.5, server.process.terminate).start()
        with contextlib.suppress(Unreachable):  # the server may be gone before the next request
            assert client.run("sleep 600", project="p").error_type == "interrupted"
    assert counting.count("GET /executions/") < 40


# --- busy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable", "504 T"])
def test_busy_is_tried_again(url: str, network: MakeNetwork, status: str) -> None:
    busy = network(url)
    busy.replies("POST /execute ", status, "<html>busy</html>", "Content-Type: text/html")
    assert run_over(busy).is_completed


@pytest.mark.timed
def test_retry_after_is_honoured(url: str, network: MakeNetwork) -> None:
    busy = network(url)
    busy.replies("/projects", "503 Service Unavailable", QUEUE_FULL, "Retry-After: 1")
    with Airlock(busy.url) as client:
        began = time.monotonic()
        client.projects()
        assert 1 <= time.monotonic() - began < 3


def test_retry_after_may_be_a_date(network: MakeNetwork) -> None:
    busy = network(None)
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    busy.replies("/projects", "429 Too Many Requests", "", f"Retry-After: {later}")
    with Airlock(busy.url) as client, pytest.raises(QuotaExceeded) as raised:
        client.projects()
    assert 3500 < (raised.value.retry_after or 0) <= 3600


@pytest.mark.timed
def test_a_pause_that_would_outlast_retry_for_is_not_waited_for(network: MakeNetwork) -> None:
    busy = network(None)
    busy.replies("/projects", "503 Service Unavailable", QUEUE_FULL, "Retry-After: 3600")
    with Airlock(busy.url, retry_for=5) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            client.projects()
        assert time.monotonic() - began < 1
    assert (raised.value.code, raised.value.retry_after, raised.value.request_id) == ("queue_full", 3600, "r")


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9", "٣", "Wed, 99 Foo 2026 00:00:00 GMT", ""])
def test_a_retry_after_that_makes_no_sense_counts_as_none(url: str, network: MakeNetwork, value: str) -> None:
    busy = network(url)
    busy.replies("/projects", "503 Service Unavailable", QUEUE_FULL, f"Retry-After: {value}")
    with Airlock(busy.url, retry_for=5) as client:
        assert client.projects()


def test_retry_for_0_tries_once(network: MakeNetwork) -> None:
    busy = network(None)
    busy.replies("/projects", "503 Service Unavailable", QUEUE_FULL)
    with Airlock(busy.url, retry_for=0) as client, pytest.raises(Unavailable):
        client.projects()
    assert busy.count("/projects") == 1
