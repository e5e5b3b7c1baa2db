"""`GET /metrics` as Prometheus reads it: what is counted, for whom, and that nobody can make it grow without end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from airlock import ExecutionFinished, ExecutionResult, Pool, PoolChanged, testing
from airlock.api import create_app
from airlock.config import load_config
from airlock.gateway import keys
from airlock.models import ExecutionStatus
from airlock.plugins.manager import Plugins
from airlock.testing import code_that_asks
from airlock_metrics import plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Scrape = Callable[..., dict[str, float]]

MOCK = "projects: {one: {backend: mock}, two: {backend: mock, replicas: 0}}\n"
ANY_NAME = f"default_backend: mock\n{MOCK}"
KEYED = f"""
server:
  keys:
    - {{name: all, sha256: {keys.sha256("all")}}}
    - {{name: two, sha256: {keys.sha256("two")}, projects: [two]}}
{ANY_NAME}
"""


def parsed(text: str) -> dict[str, float]:
    """Map each series, as it is written, to its value."""
    series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            series[f"{sample.name}{{{labels}}}"] = sample.value
    return series


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], TestClient]]:
    """A started app with this airlock.yaml, and its client."""
    monkeypatch.delenv("AIRLOCK_API_KEY", raising=False)
    started: list[TestClient] = []

    def serve(text: str) -> TestClient:
        (tmp_path / "airlock.yaml").write_text(text)
        plugins = Plugins.discover()
        client = TestClient(create_app(load_config(tmp_path / "airlock.yaml", plugins, {}), plugins))
        started.append(client.__enter__())
        assert not plugins.broken
        return client

    yield serve
    for client in started:
        client.__exit__(None, None, None)


def scraped(client: httpx.Client, key: str = "") -> dict[str, float]:
    response = client.get("/metrics", headers={"Authorization": f"Bearer {key}"} if key else {})
    assert response.status_code == 200
    return parsed(response.text)


def scraped_after(client: httpx.Client, executions: int) -> dict[str, float]:
    """Observers hear of an end some milliseconds after the clients."""
    give_up = time.monotonic() + 30
    while True:
        series = scraped(client)
        if sum(value for name, value in series.items() if name.startswith("airlock_executions_total")) >= executions:
            return series
        assert time.monotonic() < give_up, series
        time.sleep(0.01)


def run(client: TestClient, project: str = "one", code: str = "x") -> str:
    body = {"project": project, "code": code}
    return str(client.post("/execute", json=body).json()["execution_id"])


def finish(project: str = "one", **fields: object) -> None:
    """Tell the observer of an execution that has finished."""
    result = ExecutionResult.model_validate({"execution_id": "1", "status": ExecutionStatus.completed, **fields})
    plugin.airlock_execution_finished(ExecutionFinished(project=project, result=result))


# --- what is counted -------------------------------------------------------------------------------------------------


def test_the_answer_says_that_it_is_the_text_format(served: Callable[[str], TestClient]) -> None:
    assert served(MOCK).get("/metrics").headers["content-type"].startswith("text/plain; version=")


def test_executions_are_counted_by_project_backend_status_and_error_type(
    served: Callable[[str], TestClient],
) -> None:
    client = served(MOCK)
    run(client)
    run(client)
    client.post(f"/executions/{run(client, code=code_that_asks('why'))}/cancel")
    series = scraped_after(client, 3)
    assert series["airlock_executions_total{backend=mock,error_type=,project=one,status=completed}"] == 2
    assert series["airlock_executions_total{backend=mock,error_type=cancelled,project=one,status=error}"] == 1
    assert series["airlock_run_seconds_count{project=one}"] == 3
    assert series["airlock_run_seconds_bucket{le=1.0,project=one}"] == 3


def test_a_pause_shows_while_it_lasts(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    execution_id = run(client, code=code_that_asks("why"))
    assert scraped(client)["airlock_paused{project=one}"] == 1
    client.post(f"/executions/{execution_id}/respond", json={"response": "because"})
    assert scraped(client)["airlock_paused{project=one}"] == 0


def test_pools_show_as_they_are(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    client.post("/projects/one/up", json={"replicas": 3})
    series = scraped(client)
    assert [series[f"airlock_{name}{{project=one}}"] for name in ("project_up", "replicas", "idle_workers")] == [
        1,
        3,
        3,
    ]
    assert [series[f"airlock_{name}{{project=two}}"] for name in ("project_up", "replicas", "idle_workers")] == [
        0,
        0,
        0,
    ]
    assert [series[f"airlock_{name}{{project=one}}"] for name in ("queued", "running")] == [0, 0]


def test_the_time_of_a_start_is_observed_and_that_of_a_stop_is_not(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    client.post("/projects/two/up")
    client.post("/projects/two/down")
    assert scraped(client)["airlock_start_seconds_count{project=two}"] == 1


@pytest.mark.skipif("queued_ms" not in ExecutionResult.model_fields, reason="core does not measure it yet")
def test_queue_and_pauses_are_observed_in_seconds(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    finish(queued_ms=2000, llm_wait_ms=20_000)
    finish(queued_ms=500, llm_wait_ms=0)
    series = scraped(client)
    assert (series["airlock_queued_seconds_sum{project=one}"], series["airlock_queued_seconds_count{project=one}"]) == (
        2.5,
        2,
    )
    assert series["airlock_llm_wait_seconds_sum{project=one}"] == 20
    assert series["airlock_llm_wait_seconds_count{project=one}"] == 1, "who never asked is left out"


def test_a_project_that_is_down_on_purpose_is_not_unready(served: Callable[[str], TestClient]) -> None:
    series = scraped(served(MOCK))
    assert (series["airlock_project_up{project=two}"], series["airlock_project_unready{project=two}"]) == (0, 0)


def test_a_server_that_starts_again_counts_from_zero(served: Callable[[str], TestClient]) -> None:
    first = served(MOCK)
    run(first)
    scraped_after(first, 1)
    assert "airlock_executions_total{backend=mock,error_type=,project=one,status=completed}" not in scraped(
        served(MOCK)
    )


def test_without_a_server_there_is_nothing_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_metrics", None)
    finish()
    plugin.airlock_pool_changed(PoolChanged(project="one", pool=Pool(replicas=1, idle=1), seconds=0.1))


# --- who sees it, and how much it may become -------------------------------------------------------------------------


def test_it_needs_a_key_where_there_are_keys(served: Callable[[str], TestClient]) -> None:
    assert served(KEYED).get("/metrics").status_code == 401


def test_a_key_sees_the_projects_that_it_may_use(served: Callable[[str], TestClient]) -> None:
    client = served(KEYED)
    for project in ("one", "two", "made-up"):
        finish(project, execution_time_ms=1)
    projects = [
        {series.partition("project=")[2].split(",")[0].rstrip("}") for series in scraped(client, key)}
        for key in ("all", "two")
    ]
    assert projects == [{"one", "two", "(unlisted)"}, {"two"}]


def test_projects_that_clients_make_up_are_one(served: Callable[[str], TestClient]) -> None:
    client = served(ANY_NAME)
    before = len(scraped(client))
    run(client, "first-name")
    one = len(scraped_after(client, 1))
    for number in range(50):
        run(client, f"name-{number}")
    series = scraped_after(client, 51)
    assert before < one == len(series)
    key = "airlock_executions_total{backend=(unlisted),error_type=,project=(unlisted),status=completed}"
    assert series[key] == 51


def test_error_types_that_a_plugin_makes_up_are_bounded(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    for number in range(100):
        finish(status="error", error_type=f"type-{number}")
    counted = [value for name, value in scraped(client).items() if name.startswith("airlock_executions_total{")]
    assert sorted(counted) == [1] * 32 + [68]


def test_a_hostile_error_type_cannot_forge_a_series(served: Callable[[str], TestClient]) -> None:
    client = served(MOCK)
    forged = 'x"} 1\nairlock_running{project="one"} 99\n'
    finish(status="error", error_type=forged)
    series = scraped(client)
    assert series["airlock_running{project=one}"] == 0
    assert series[f"airlock_executions_total{{backend=mock,error_type={forged},project=one,status=error}}"] == 1


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=nonsense; escaping=x", "\xff", "image/png"])
def test_whatever_a_client_accepts_it_gets_the_text_format(served: Callable[[str], TestClient], accept: str) -> None:
    response = served(MOCK).get("/metrics", headers={"Accept": accept.encode("latin-1")})
    assert parsed(response.text)["airlock_project_up{project=one}"] == 1


def test_a_real_server_serves_it(tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").write_text(MOCK)
    with testing.served(tmp_path, {"AIRLOCK_API_KEY": "k"}) as (_, client):
        assert client.get("/metrics").status_code == 401
        client.headers["Authorization"] = "Bearer k"
        client.post("/execute", params={"wait": 10}, json={"project": "one", "code": "x"})
        series = scraped_after(client, 1)
    assert series["airlock_executions_total{backend=mock,error_type=,project=one,status=completed}"] == 1
    assert series["airlock_start_seconds_count{project=one}"] == 1
