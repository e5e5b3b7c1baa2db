"""A real server on a real file that another process holds, and answers at the moment of their deadline."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import RunningServer
from tests.stores.held import held

pytestmark = pytest.mark.anyio

Serve = Callable[..., RunningServer]

CONFIG = """
store: {type: sqlite, path: s.db}
projects: {p: {replicas: 4, backend: scripted, limits: {llm_timeout: 2, max_paused: 500}}}
"""


async def submitted(client: httpx.AsyncClient, code: str, wait: int = 20, **more: Any) -> dict[str, Any]:
    body = {"project": "p", "code": code}
    answer = await client.post("/execute", json=body, params={"wait": wait}, **more)
    assert answer.is_success, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_reads_are_answered_while_another_process_holds_the_file(serve: Serve, tmp_path: Path) -> None:
    async with httpx.AsyncClient(base_url=serve(CONFIG).url, timeout=60) as client:
        key = {"Idempotency-Key": "k"}
        over = await submitted(client, "say hello", headers=key)
        live = await submitted(client, "sleep 60", wait=1)
        with held(tmp_path / "s.db"):
            writing = [asyncio.create_task(submitted(client, "say x")) for _ in range(5)]
            await asyncio.sleep(0.2)
            for _ in range(3):
                assert (await client.get(f"/executions/{over['execution_id']}")).json() == over
                assert (await client.get(f"/executions/{live['execution_id']}")).json()["status"] == "running"
                assert len((await client.get("/executions")).json()["executions"]) == 2
                assert await submitted(client, "say hello", headers=key) == over
                assert (await client.get("/ready")).status_code == 200
                events = (await client.get(f"/executions/{over['execution_id']}/events")).text
                assert "event: result" in events
            assert not any(each.done() for each in writing)
        assert [each["status"] for each in await asyncio.gather(*writing)] == ["completed"] * 5
        cancelled = (await client.post(f"/executions/{live['execution_id']}/cancel")).json()
        assert cancelled["error_type"] == "cancelled"


async def test_answer_at_the_deadline_is_either_accepted_and_used_or_refused(serve: Serve) -> None:
    async def each(offset: float) -> None:
        asked = await submitted(client, "ask what?")
        expires_at = datetime.fromisoformat(asked["llm_request"]["expires_at"]).timestamp()
        await asyncio.sleep(expires_at + offset - time.time())
        url = f"/executions/{asked['execution_id']}"
        told = await client.post(f"{url}/respond", json={"request_id": 1, "response": "42"})
        end = (await client.get(url, params={"wait": 20})).json()
        if told.status_code == 200:
            assert (end["status"], end["result"]) == ("completed", "42")
        else:
            assert (told.status_code, told.json()["code"]) == (409, "not_awaiting_llm")
            assert "llm_timeout" in told.json()["detail"]
            assert end["error_type"] == "llm_timeout"

    async with httpx.AsyncClient(base_url=serve(CONFIG).url, timeout=60) as client:
        await asyncio.gather(*(each((n - 10) ** 3 / 2000) for n in range(21)))  # most within 0.1 s
