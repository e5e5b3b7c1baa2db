"""What fails is retried, after a longer pause each time."""

from __future__ import annotations

import asyncio

import pytest

from airlock.backoff import Retry

pytestmark = pytest.mark.anyio


async def test_the_pause_doubles_up_to_the_most_and_starts_anew_after_a_success() -> None:
    retry = Retry(lambda: None, first=10, most=35)
    assert [retry.failed() for _ in range(4)] == [10, 20, 35, 35]
    retry.succeeded()
    assert retry.failed() == 10
    retry.cancel()


async def test_it_never_fails_itself_however_often_it_failed() -> None:
    retry = Retry(lambda: None, first=0.5, most=30)
    assert [retry.failed() for _ in range(2000)][-1] == 30
    retry.cancel()


async def test_two_failures_in_the_meantime_are_one_repetition() -> None:
    rings: list[int] = []
    retry = Retry(lambda: rings.append(1), first=0.01, most=0.01)
    retry.failed()
    retry.failed()
    assert retry.is_pending
    await asyncio.sleep(0.1)
    assert (rings, retry.is_pending) == ([1], False)


async def test_cancelled_it_is_not_done_again() -> None:
    rings: list[int] = []
    retry = Retry(lambda: rings.append(1), first=0.01, most=0.01)
    retry.failed()
    retry.cancel()
    await asyncio.sleep(0.1)
    assert (rings, retry.is_pending) == ([], False)
