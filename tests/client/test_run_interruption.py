"""`run` that ends early: the execution is cancelled, and the caller is told which one it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.client.conftest import busy, is_idle, wait_until_busy

from airlock.api import app
from airlock.client import Airlock, AsyncAirlock, ClientError, NotFound, OpenLLMRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Network

    MakeNetwork = Callable[[str | None], Network]

pytestmark = pytest.mark.anyio
IDEMPOTENT = pytest.mark.skipif(
    "idempotency-key" not in str(app.openapi()).lower(), reason="the server ignores the key"
)


AGENT = """
import sys, time
from airlock.client import Airlock
Airlock(sys.argv[1]).run(sys.argv[2], project="p", llm=lambda request: time.sleep(600))
"""


@pytest.mark.parametrize("script", ["sleep 600", "ask q"])
def test_ctrl_c_cancels_the_execution_and_ends_the_program_at_once(airlock: Airlock, url: str, script: str) -> None:
    agent = subprocess.Popen([sys.executable, "-c", AGENT, url, script], stderr=subprocess.PIPE, text=True)
    wait_until_busy(airlock)
    time.sleep(0.2)
    os.kill(agent.pid, signal.SIGINT)
    _, printed = agent.communicate(timeout=10)
    assert printed.rstrip().endswith("KeyboardInterrupt")
    assert is_idle(airlock)


async def test_cancelling_the_task_cancels_the_execution(airlock: Airlock, url: str) -> None:
    async with AsyncAirlock(url) as client:
        running = asyncio.create_task(client.run("sleep 600", project="p"))
        while busy((await client.projects())[0]) == 0:
            await asyncio.sleep(0.02)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert is_idle(airlock)


async def test_a_timeout_around_a_run_cancels_the_execution(airlock: Airlock, url: str) -> None:
    async def llm(_: OpenLLMRequest) -> str:
        await asyncio.sleep(600)
        return "never"

    async with AsyncAirlock(url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.run("ask q", project="p", llm=llm)
    assert is_idle(airlock)


async def test_a_cancel_scope_around_a_run_cancels_the_execution(airlock: Airlock, url: str) -> None:
    async with AsyncAirlock(url) as client:
        with anyio.move_on_after(0.5):
            await client.run("sleep 600", project="p")
    assert is_idle(airlock)


@IDEMPOTENT
async def test_an_interruption_while_the_script_is_handed_over_leaves_nothing(
    airlock: Airlock, url: str, network: MakeNetwork
) -> None:
    slow = network(url)
    slow.delays_reply("POST /execute", 1)
    async with AsyncAirlock(slow.url) as client:
        with anyio.move_on_after(0.5):
            await client.run("sleep 600", project="p")
    assert slow.count("POST /execute ") == 2
    assert is_idle(airlock)


def test_system_exit_of_an_llm_ends_the_run_and_cancels_the_execution(airlock: Airlock) -> None:
    def llm(request: OpenLLMRequest) -> str:
        sys.exit(request.prompt)

    with pytest.raises(SystemExit, match="enough"):
        airlock.run("ask enough|other", project="p", llm=llm)


async def test_an_answer_that_cannot_be_sent_ends_the_async_run_at_once(
    airlock: Airlock, url: str, network: MakeNetwork
) -> None:
    spoilt = network(url)
    spoilt.replies("/respond", "401 Unauthorized", "<html>")
    async with AsyncAirlock(spoilt.url) as client:
        with anyio.fail_after(10), pytest.raises(ClientError) as raised:
            await client.run("ask q", project="p", llm=lambda _: "x")
    assert raised.value.execution_id
    assert airlock.get(raised.value.execution_id).error_type == "cancelled"


def test_an_execution_that_the_server_forgot_is_not_found_with_its_id(url: str, network: MakeNetwork) -> None:
    spoilt = network(url)
    problem = '{"status": 404, "code": "execution_not_found", "detail": "gone", "request_id": "r"}'
    spoilt.replies("GET /executions/", "404 Not Found", problem)
    with Airlock(spoilt.url) as client, pytest.raises(NotFound) as raised:
        client.run("say hi", project="p")
    assert raised.value.execution_id
