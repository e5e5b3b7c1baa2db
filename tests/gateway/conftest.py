"""Gateways that are closed at the end of the test."""

from collections.abc import AsyncIterator

import pytest

from airlock.gateway.gateway import Gateway


@pytest.fixture
async def gateways() -> AsyncIterator[list[Gateway]]:
    made: list[Gateway] = []
    yield made
    for gateway in made:
        await gateway.close()
