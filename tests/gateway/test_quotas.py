"""What a key may submit and run at once: the gateway counts it, and refuses more with 429."""

import asyncio
import hashlib
import time
from pathlib import Path
from typing import NoReturn

import pytest
from fastapi.testclient import TestClient

from airlock.api import create_app
from airlock.config import load_config
from airlock.config.config import Config
from airlock.config.sections import KeySection
from airlock.errors import ConfigError, RateExceeded, TooManyExecutions
from airlock.gateway.gateway import Gateway
from airlock.gateway.quotas import Quotas
from airlock.models import ExecutionRequest
from airlock.plugins.manager import Plugins
from airlock.stores.memory import MemoryStore
from airlock.testing import code_that_asks

KEY = hashlib.sha256(b"key").hexdigest()


def key(**limits: object) -> KeySection:
    return KeySection.model_validate({"name": "alice", "sha256": KEY, **limits})


def configured(tmp_path: Path, limits: str) -> Config:
    path = tmp_path / "airlock.yaml"
    path.write_text(
        f"server: {{keys: [{{name: alice, sha256: '{KEY}', {limits}}}]}}\nprojects: {{p: {{backend: mock}}}}\n"
    )
    return load_config(path, Plugins.discover(), {})


def test_the_rate_lets_so_many_pass_and_says_how_long_to_wait() -> None:
    quotas = Quotas([key(rate="2/minute")])
    quotas.admit("alice")
    quotas.admit("alice")
    with pytest.raises(RateExceeded, match=r"2 per minute ") as caught:
        quotas.admit("alice")
    assert caught.value.retry_after in (59, 60)


def test_after_that_time_it_passes_again() -> None:
    quotas = Quotas([key(rate="1/second")])
    quotas.admit("alice")
    with pytest.raises(RateExceeded) as caught:
        quotas.admit("alice")
    assert caught.value.retry_after == 1
    time.sleep(1.1)
    quotas.admit("alice")


def test_only_so_many_are_let_in_at_once() -> None:
    quotas = Quotas([key(concurrent=2)])
    quotas.admit("alice")
    quotas.admit("alice")
    with pytest.raises(TooManyExecutions, match="2 unfinished executions"):
        quotas.admit("alice")
    quotas.release("alice")
    quotas.admit("alice")


def test_what_is_refused_for_being_too_many_does_not_use_the_rate_up() -> None:
    quotas = Quotas([key(concurrent=1, rate="2/hour")])
    quotas.admit("alice")
    for _ in range(5):
        with pytest.raises(TooManyExecutions):
            quotas.admit("alice")
    quotas.release("alice")
    quotas.admit("alice")


def test_the_quota_of_one_key_is_not_that_of_another() -> None:
    quotas = Quotas([key(rate="1/hour", concurrent=1), key(name="bob", rate="1/hour", concurrent=1)])
    quotas.admit("alice")
    quotas.admit("bob")


def test_without_limits_and_without_a_key_everything_passes() -> None:
    quotas = Quotas([key(), key(name="bob", rate="1/hour", concurrent=1)])
    for _ in range(100):
        quotas.admit("alice")
        quotas.admit(None)


@pytest.mark.parametrize(
    "rate", ["60", "60/", "/minute", "0/minute", "-1/minute", "60/fortnight", "100000/day", "1.5/s", "6/minute/hour"]
)
def test_what_is_no_rate_is_refused_with_an_example(tmp_path: Path, rate: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.keys\[0\]\.rate: not a rate; write 60/minute"):
        configured(tmp_path, f"rate: '{rate}'")


def test_concurrent_0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.keys\[0\]\.concurrent: must be at least 1"):
        configured(tmp_path, "concurrent: 0")


def test_over_the_rate_a_client_gets_429_with_the_seconds_to_wait(tmp_path: Path) -> None:
    client = TestClient(create_app(configured(tmp_path, "rate: 1/hour")), headers={"Authorization": "Bearer key"})
    assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202
    refused = client.post("/execute", json={"project": "p", "code": "x"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_exceeded")
    assert refused.headers["content-type"] == "application/problem+json"
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600


def test_a_request_that_is_refused_for_another_reason_uses_no_rate_up(tmp_path: Path) -> None:
    client = TestClient(create_app(configured(tmp_path, "rate: 1/hour")), headers={"Authorization": "Bearer key"})
    assert client.post("/execute", json={"project": "nope", "code": "x"}).status_code == 404
    assert client.post("/execute", json={"project": "p", "code": "x", "timeout": 80_000}).status_code == 422
    assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202


def test_a_paused_execution_counts_until_it_is_over(tmp_path: Path) -> None:
    config = configured(tmp_path, "concurrent: 1")
    asks = {"project": "p", "code": code_that_asks("?")}
    with TestClient(create_app(config), headers={"Authorization": "Bearer key"}) as client:
        path = client.post("/execute", json=asks).headers["location"]
        refused = client.post("/execute", json=asks)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_executions")
        assert int(refused.headers["retry-after"]) > 0
        assert client.post(f"{path}/cancel").json()["status"] == "error"
        assert client.post("/execute", json=asks).status_code == 202


@pytest.mark.anyio
async def test_a_burst_gets_no_more_in_than_one_after_the_other(tmp_path: Path) -> None:
    gateway = Gateway(configured(tmp_path, "concurrent: 3"), Plugins.discover())
    request = ExecutionRequest(project="p", code=code_that_asks("?"))
    answers = await asyncio.gather(*(gateway.submit(request, "alice") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, TooManyExecutions) for answer in answers) == 17
    await gateway.close()


class FullStore(MemoryStore):
    """A store that is full."""

    async def create(self, execution: object) -> NoReturn:
        raise OSError("no space left")


@pytest.mark.anyio
async def test_what_the_store_could_not_take_does_not_count(tmp_path: Path) -> None:
    gateway = Gateway(configured(tmp_path, "concurrent: 1"), Plugins.discover(), FullStore())
    for _ in range(3):
        with pytest.raises(OSError, match="no space left"):
            await gateway.submit(ExecutionRequest(project="p", code="x"), "alice")
    await gateway.close()
