"""Benches whose runs end with the test, and executions that the test drives."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.running.bench import Bench, Benches
from tests.running.followed import FollowedByHand


@pytest.fixture
async def bench() -> AsyncIterator[Benches]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def followed() -> FollowedByHand:
    return FollowedByHand()
