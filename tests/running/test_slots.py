"""Slots: how many executions run at once, and which is next."""

import asyncio

import pytest

from airlock.running.slots import Slots

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_as_the_size_get_one_at_once() -> None:
    slots = Slots(2)
    await slots.acquire()
    await slots.acquire()
    third = asyncio.create_task(slots.acquire())
    await settle()
    assert (third.done(), slots.free) == (False, 0)
    slots.release()
    await asyncio.wait_for(third, 5)


async def test_first_come_first_served_after_those_who_come_back() -> None:
    slots, order = Slots(1), []
    await slots.acquire()

    async def take(name: str, *, ahead: bool) -> None:
        await slots.acquire(ahead=ahead)
        order.append(name)
        slots.release()

    waiting = [
        asyncio.create_task(take(name, ahead=name.startswith("back")))
        for name in ("new 1", "back 1", "new 2", "back 2")
    ]
    await settle()
    slots.release()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order == ["back 1", "back 2", "new 1", "new 2"]


async def test_bigger_size_lets_the_next_in() -> None:
    slots = Slots(0)
    waiting = asyncio.create_task(slots.acquire())
    await settle()
    assert not waiting.done()
    slots.resize(1)
    await asyncio.wait_for(waiting, 5)


async def test_smaller_size_lets_the_running_finish_and_nobody_in() -> None:
    slots = Slots(2)
    await slots.acquire()
    await slots.acquire()
    slots.resize(1)
    waiting = asyncio.create_task(slots.acquire())
    slots.release()
    await settle()
    assert (waiting.done(), slots.free) == (False, 0)
    slots.release()
    await asyncio.wait_for(waiting, 5)


async def test_cancelled_one_leaves_the_queue() -> None:
    slots = Slots(1)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await settle()
    first.cancel()
    await settle()
    slots.release()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()
    assert slots.free == 0


async def test_slot_that_comes_in_the_moment_of_cancellation_goes_to_the_next() -> None:
    slots = Slots(1)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await settle()
    slots.release()
    first.cancel()
    await asyncio.wait_for(second, 5)
    assert first.cancelled()


async def test_cancellation_in_the_moment_before_the_slot_comes_is_a_cancellation() -> None:
    slots = Slots(1)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await settle()
    first.cancel()
    slots.release()
    await asyncio.wait_for(second, 5)
    await asyncio.wait({first})
    assert first.cancelled()
    slots.release()
    assert slots.free == 1
