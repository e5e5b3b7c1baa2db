"""The attacks on what the kernel has for all can fail: they succeed without what holds them."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.sandbox import TERMINALS, locks
from airlock.testing.attacks.arena import TRY
from airlock.testing.attacks.budgets import (
    ACCESS_CONTROL_LIST,
    FLUSHES,
    LOCKS,
    TAKE_TERMINALS,
    TOO_MANY_LOCKS,
    refused_calls,
    with_numbers,
)
from airlock_local import box_config

pytestmark = pytest.mark.anyio

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may have no cgroup, which tells whose locks")
HOLD = f"{LOCKS}\nimport time\ntake(40, 500)\ntime.sleep(1)"
CALLS = refused_calls()
# Processes take locks for another one with the same descriptors, and are gone: nobody is left whose they are.
SHARE = CALLS["a process with the same descriptors"].removesuffix(" or os._exit(0)")
FOR_ANOTHER = f"""
{TRY}
{LOCKS}
import time
for turn in range(10):
    if {SHARE} == 0:
        take(9, 100, first=turn * 1000)
        os._exit(0)
    os.wait()
time.sleep(1)
"""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_is_answered_by_the_kernel_without_the_filter(
    make_local: Callable[..., Awaitable[Any]], leave_out: Callable[..., None], call: str
) -> None:
    leave_out("system_call_filter")
    local = await make_local(isolation="reduced")
    assert await local.result(f"{TRY}\nset_result(attempt(lambda: {call}))") != "EPERM"


@pytest.mark.parametrize("call", [ACCESS_CONTROL_LIST, *map(with_numbers, FLUSHES)])
async def test_a_call_does_what_the_filter_makes_programs_do_without(
    make_local: Callable[..., Awaitable[Any]], leave_out: Callable[..., None], call: str
) -> None:
    leave_out("system_call_filter")
    local = await make_local(isolation="reduced")
    done = {"None"} if call == ACCESS_CONTROL_LIST else {"EBADF", "ENOMEM"}
    assert await local.result(f"{TRY}\nset_result(attempt(lambda: {call}))") in done


async def test_terminals_of_the_machine_are_taken_without_a_bound(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_config, "TERMINALS", 1000)
    local = await make_local()
    assert await local.result(f"{TAKE_TERMINALS}\nset_result(len(kept))") > TERMINALS


@as_root
async def test_locks_are_held_without_the_watch(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PERIOD", 3600)
    assert (await (await make_local()).run(HOLD)).error is None


@as_root
async def test_locks_for_another_process_are_found_nowhere_without_the_filter(
    make_local: Callable[..., Awaitable[Any]], leave_out: Callable[..., None]
) -> None:
    assert "Errno 1" in ((await (await make_local()).run(FOR_ANOTHER)).error or "")
    leave_out("system_call_filter")
    assert (await (await make_local(isolation="reduced")).run(FOR_ANOTHER)).error is None


@as_root
async def test_a_server_that_may_not_know_the_number_of_locks_reads_whose_they_are(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "ALLOCATED", Path("/nothing"))
    local = await make_local()
    assert (await local.run(TOO_MANY_LOCKS["of the script"])).error_type == "memory_limit"


@as_root
@pytest.mark.parametrize("file", ["ALLOCATED", "ALL_LOCKS"])
async def test_locks_are_found_after_a_time_in_which_they_could_not_be_counted(
    local: Any, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """As where clients take all descriptors of the server."""
    with monkeypatch.context() as patch:
        patch.setattr(locks, file, Path("/nothing"))
        task, run = local.start(f"{LOCKS}\nimport time\ntake(40, 500)\nprint(1, flush=True)\ntime.sleep(60)")
        await run.until(lambda run: run.stdout)
        await asyncio.sleep(0.3)
    assert (await task).error_type == "memory_limit"


@as_root
async def test_locks_of_others_are_not_blamed_on_a_script(local: Any, tmp_path: Path) -> None:
    code = f"{LOCKS.replace('/tmp', str(tmp_path))}\ntake(40, 500)\nprint(1, flush=True)\ninput()"
    other = await asyncio.create_subprocess_exec(
        "python3", "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    try:
        task, _ = local.start("import time\ntime.sleep(1)\nset_result(1)")
        await other.stdout.readline()
        assert (await task).result == 1
    finally:
        await other.communicate(b"\n")
