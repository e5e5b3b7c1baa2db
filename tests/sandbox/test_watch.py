"""The watch of a pool: who is due is called, in common turns, and nobody else."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from airlock.sandbox import Watch

pytestmark = pytest.mark.anyio


async def test_a_look_is_repeated_after_the_wait_that_it_returns_until_it_returns_none() -> None:
    watch, times, waits = Watch(), [], [0.1, 0.3, None]
    done = asyncio.Event()

    def look() -> float | None:
        times.append(time.monotonic())
        wait = waits.pop(0)
        if wait is None:
            done.set()
        return wait

    watch.add(look)
    async with asyncio.timeout(10):
        await done.wait()
    assert times[1] - times[0] >= 0.05
    assert times[2] - times[1] >= 0.25
    await asyncio.sleep(0.25)
    assert len(times) == 3


async def test_looks_added_at_any_time_are_called_in_common_turns() -> None:
    watch, woken = Watch(), set()
    loop: Any = asyncio.get_running_loop()
    looked = []

    def look(number: int) -> None:
        looked.append(number)
        woken.add(watch._next)

    for number in range(20):
        watch.add(partial(look, number), 0.3)
        await asyncio.sleep(0.001)
    assert sum(handle._callback == watch._turn and not handle.cancelled() for handle in loop._scheduled) == 1
    await asyncio.sleep(1)
    assert sorted(looked) == list(range(20))
    assert len(woken) < 5


async def test_one_who_is_due_sooner_does_not_wait_for_one_who_is_due_later() -> None:
    watch, looked = Watch(), asyncio.Event()
    watch.add(lambda: None, 3600)
    watch.add(looked.set)
    async with asyncio.timeout(10):
        await looked.wait()


async def test_who_is_removed_is_not_called_even_by_another_one_in_the_same_turn() -> None:
    watch, called = Watch(), []

    def second() -> None:
        called.append("second")

    def first() -> None:
        called.append("first")
        watch.remove(second)

    watch.add(first)
    watch.add(second)
    await asyncio.sleep(0.4)
    assert called == ["first"]
    watch.remove(second)


async def test_a_look_that_raises_is_reported_and_stops_nobody_else() -> None:
    watch, reported, looked = Watch(), [], asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    watch.add(lambda: 1 // 0)
    watch.add(looked.set)
    async with asyncio.timeout(10):
        await looked.wait()
    await asyncio.sleep(0.3)
    assert [type(error) for error in reported] == [ZeroDivisionError]
