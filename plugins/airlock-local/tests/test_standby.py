"""A standby that dies in the moment in which it becomes ready."""

import asyncio
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from airlock_local.slot import Slot

pytestmark = pytest.mark.anyio

SOON = 30.0


async def test_a_standby_that_dies_before_its_last_word_is_read_is_replaced(
    make_local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = await make_local(replicas=1)
    read = Slot._on_start
    died: list[Slot] = []

    def die_first(slot: Slot) -> None:
        if died:
            read(slot)
            return
        died.append(slot)
        time.sleep(0.3)  # the standby says that it is ready
        box = local.backend._box
        waiting = box._process.pid
        zygote = int(Path(f"/proc/{waiting}/task/{waiting}/children").read_text())
        os.kill(zygote, signal.SIGKILL)
        while box._exits:
            select.select([box._control], [], [], SOON)
            box._on_exits()

    monkeypatch.setattr(Slot, "_on_start", die_first)
    assert await local.result("set_result('the next one dies')") == "the next one dies"
    async with asyncio.timeout(SOON):
        while not died or local.backend.pool().idle < 1 or not local.backend._box.is_alive:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("reuse", ["pristine", "never"])
async def test_a_start_that_is_cancelled_at_its_last_moment_disturbs_nobody(
    make_local: Any, monkeypatch: pytest.MonkeyPatch, reuse: str
) -> None:
    local = await make_local(replicas=1, reuse=reuse)
    hear = Slot._on_start
    cancelled: list[Slot] = []

    def cancel_first(slot: Slot) -> None:
        if not cancelled and slot.init >= 0:  # what follows is the word of the slot's process
            cancelled.append(slot)
            slot._ready.cancel()
        hear(slot)

    monkeypatch.setattr(Slot, "_on_start", cancel_first)
    with pytest.raises(asyncio.CancelledError):
        await local.backend.scale(2)
    assert await local.result("set_result(1)") == 1
