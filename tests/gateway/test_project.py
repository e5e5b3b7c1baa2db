"""One project: its queue, up and down, backends that fail."""

import asyncio
import time
from typing import Any

import pytest
from tests.gateway.obedient import (
    TERMINAL,
    Gateways,
    ObedientBackend,
    begun,
    gateway_of,
    gateway_status,
    gateway_with,
    started,
    submit,
    until,
    until_status,
)

from airlock.backends import Job, Outcome, Run
from airlock.errors import (
    InvalidRequest,
    ProjectDown,
    QueueFull,
    ScaleFailed,
)
from airlock.executions import Answer, Execution
from airlock.gateway import project as project_module
from airlock.gateway.gateway import Gateway
from airlock.running.patience import Patience

pytestmark = pytest.mark.anyio


async def test_no_more_run_at_once_than_there_are_replicas(gateways: Gateways) -> None:
    gateway = await started(gateways, replicas=2)
    ids = [await submit(gateway, "nap") for _ in range(6)]
    for execution in ids:
        assert (await until_status(gateway, execution, *TERMINAL)).status.value == "completed"
    backend = gateway.projects._listed["p"].backend
    assert isinstance(backend, ObedientBackend)
    assert backend.most_running == 2


async def test_full_queue_is_refused_and_loses_nothing_accepted(gateways: Gateways) -> None:
    gateway = await started(gateways, queue=2)
    ids = [await submit(gateway, "nap")]
    await until_status(gateway, ids[0], "running")
    ids += [await submit(gateway, "x"), await submit(gateway, "x")]
    with pytest.raises(QueueFull, match=r"limits\.queue"):
        await submit(gateway, "x")
    for execution in ids:
        assert (await until_status(gateway, execution, *TERMINAL)).status.value == "completed"


async def test_queue_of_zero_takes_what_can_run_now(gateways: Gateways) -> None:
    gateway = await started(gateways, queue=0)
    execution = await submit(gateway, "nap")
    with pytest.raises(QueueFull):
        await submit(gateway, "x")
    await until_status(gateway, execution, *TERMINAL)
    await submit(gateway, "x")


async def test_paused_execution_frees_the_project(gateways: Gateways) -> None:
    gateway = await started(gateways, replicas=1)
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    other = await submit(gateway, "x")
    assert (await until_status(gateway, other, *TERMINAL)).status.value == "completed"
    [info] = await gateway.projects.infos()
    assert (info.paused, info.running, info.queued) == (1, 0, 0)
    await gateway.respond(asking, Answer("yes"))
    assert (await until_status(gateway, asking, *TERMINAL)).result == "yes"


async def test_project_without_a_lifespan_is_down(gateways: Gateways) -> None:
    gateway = gateway_with()
    gateways.append(gateway)
    [info] = await gateway.projects.infos()
    assert (info.status, info.detail) == ("down", "server not started")
    with pytest.raises(ProjectDown, match="server not started"):
        await submit(gateway, "x")


async def test_down_ends_what_waits_at_once_and_what_runs_after_its_grace(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.1)
    running, waiting = await submit(gateway, "sleep"), await submit(gateway, "x")
    await until_status(gateway, running, "running")
    status = await gateway.down("p")
    assert (status.status, status.replicas) == ("down", 0)
    for execution in (waiting, running):
        done = await until_status(gateway, execution, *TERMINAL)
        assert (done.status.value, done.error_type) == ("error", "project_down")
    with pytest.raises(ProjectDown):
        await submit(gateway, "x")
    assert (await gateway.up("p", 2)).replicas == 2
    await until_status(gateway, await submit(gateway, "x"), "completed")


async def test_up_within_the_grace_of_down_saves_what_still_runs(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.2)
    running, asking = await submit(gateway, "sleep"), await submit(gateway, "ask")
    await until_status(gateway, running, "running")
    await gateway.down("p")
    await gateway.up("p", 2)
    await until_status(gateway, await submit(gateway, "ask"), "awaiting_llm")
    await asyncio.sleep(0.4)
    assert (await gateway.get(running)).status.value == "running"
    assert (await gateway.get(asking)).error_type == "project_down"  # it waited: `down` ends that at once
    await gateway.down("p")
    assert (await until_status(gateway, running, *TERMINAL)).error_type == "project_down"


async def test_a_second_down_does_not_make_the_grace_longer(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=0.3)
    running = await submit(gateway, "sleep")
    await until_status(gateway, running, "running")
    began = time.monotonic()
    while (await gateway.get(running)).status.value == "running" and time.monotonic() - began < 60:
        await gateway.down("p")
        await asyncio.sleep(0.02)
    assert (await until_status(gateway, running, *TERMINAL)).error_type == "project_down"


async def test_paused_execution_may_finish_within_the_grace_of_down(gateways: Gateways) -> None:
    gateway = await started(gateways, shutdown_grace=20)
    asking = await submit(gateway, "ask")
    await until_status(gateway, asking, "awaiting_llm")
    await gateway.down("p")
    await gateway.respond(asking, Answer("still here"))
    assert (await until_status(gateway, asking, *TERMINAL)).result == "still here"


async def test_more_replicas_than_allowed_are_refused_and_change_nothing(gateways: Gateways) -> None:
    gateway = await started(gateways, max_replicas=3)
    with pytest.raises(InvalidRequest, match=r"limits\.max_replicas"):
        await gateway.up("p", 4)
    [info] = await gateway.projects.infos()
    assert info.replicas == 1


async def test_backend_that_cannot_come_up_says_why_and_can_be_tried_again(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObedientBackend, "broken", "No such thing.")
    gateway = await started(gateways)
    [info] = await gateway.projects.infos()
    assert (info.status, info.detail) == ("down", "No such thing. Mend it.")
    with pytest.raises(ProjectDown, match="Mend it"):
        await submit(gateway, "x")
    with pytest.raises(ScaleFailed, match="Mend it"):
        await gateway.up("p", 1)
    monkeypatch.setattr(ObedientBackend, "broken", None)
    assert (await gateway.up("p", 1)).status == "up"
    await until_status(gateway, await submit(gateway, "x"), "completed")


async def test_a_project_that_cannot_grow_serves_on_with_what_it_has(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started(gateways)
    monkeypatch.setattr(ObedientBackend, "broken", "No room.")
    with pytest.raises(ScaleFailed, match="Mend it"):
        await gateway.up("p", 3)
    [info] = await gateway.projects.infos()
    assert (info.status, info.replicas) == ("up", 1)
    await until_status(gateway, await submit(gateway, "x"), "completed")


async def test_execution_accepted_while_starting_ends_when_the_start_fails(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObedientBackend, "broken", "No such thing.")
    gateway = gateway_with(patience=Patience(scale_first_retry=0.05))
    gateways.append(gateway)
    await gateway.start()
    execution = await submit(gateway, "x")
    done = await until_status(gateway, execution, *TERMINAL)
    assert (done.error_type, done.started_at) == ("project_down", None)
    assert "Mend it" in (done.error or "")


async def started_and_failed(gateways: Gateways, monkeypatch: pytest.MonkeyPatch, first_retry: float) -> Gateway:
    monkeypatch.setattr(ObedientBackend, "broken", "No room.")
    return await started(gateways, patience=Patience(scale_first_retry=first_retry))


async def test_a_project_that_failed_to_start_is_tried_again_until_it_is_up(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started_and_failed(gateways, monkeypatch, first_retry=0.01)
    assert gateway_status(gateway) == "No room. Mend it."
    monkeypatch.setattr(ObedientBackend, "broken", None)
    await until(lambda: gateway_status(gateway) is None)
    done = await until_status(gateway, await submit(gateway, "x"), *TERMINAL)
    assert done.error is None


async def test_a_project_that_was_put_down_is_not_tried_again(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started_and_failed(gateways, monkeypatch, first_retry=0.05)
    await gateway.down("p")
    monkeypatch.setattr(ObedientBackend, "broken", None)
    await asyncio.sleep(0.3)
    assert gateway_status(gateway) == "taken down"


class HasNoPool(ObedientBackend):
    def pool(self) -> Any:
        return {"replicas": 1}


async def test_a_pool_that_is_none_is_told_in_the_name_of_the_backend(gateways: Gateways) -> None:
    gateway = await begun(gateways, gateway_of(HasNoPool))
    assert gateway_status(gateway) == "pool() of the backend failed; the server's log says why"


async def test_executions_that_are_not_over_weigh_so_much_at_most(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_module, "MAX_WEIGHT", 1 << 20)
    gateway = await started(gateways)
    first = await submit(gateway, "sleep")
    heavy = [await submit(gateway, "\N{GRINNING FACE}" * 70_000) for _ in range(4)]  # four bytes each, in memory
    with pytest.raises(QueueFull, match="together hold 1MiB"):
        await submit(gateway, "x")
    for execution in heavy:
        await gateway.cancel(execution)
    await gateway.cancel(first)
    await submit(gateway, "x")


async def test_an_execution_that_is_about_to_start_does_not_wait_in_the_queue(gateways: Gateways) -> None:
    class Late(ObedientBackend):
        async def execute(self, job: Job, run: Run) -> Outcome:
            await asyncio.sleep(0.1)  # as a worker that takes its time
            return await super().execute(job, run)

    gateway = await begun(gateways, gateway_of(Late, queue=0))
    await gateway.up("p", 2)
    executions = [await submit(gateway, "x")]
    await asyncio.sleep(0.02)
    executions.append(await submit(gateway, "x"))
    with pytest.raises(QueueFull):
        await submit(gateway, "x")
    for execution in executions:
        await until_status(gateway, execution, "completed")


async def test_settings_of_the_project_win_over_those_of_the_request(gateways: Gateways) -> None:
    gateway = await started(gateways)
    execution = await submit(gateway, "x", settings={"REPORT": "mine", "OTHER": "kept"})
    done = await until_status(gateway, execution, *TERMINAL)
    assert done.result == {"REPORT": "of the project", "OTHER": "kept"}


async def test_the_queue_is_no_longer_than_its_limit_while_the_store_is_slow(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await started(gateways, queue=2)
    create = gateway._store.create

    async def slow(execution: Execution) -> Execution:
        await asyncio.sleep(0.05)
        return await create(execution)

    monkeypatch.setattr(gateway._store, "create", slow)
    sent = await asyncio.gather(*(submit(gateway, "nap") for _ in range(9)), return_exceptions=True)
    accepted = [each for each in sent if isinstance(each, str)]
    assert len(accepted) == 3  # one of them runs
    assert all(isinstance(each, QueueFull) for each in sent if not isinstance(each, str))
    for execution in accepted:
        await until_status(gateway, execution, "completed")
    assert gateway.projects._listed["p"].expected == 0
