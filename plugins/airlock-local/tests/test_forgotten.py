"""What an execution held is given back with it."""

import asyncio
import gc
from typing import Any

import pytest

from airlock_local.standby import LocalWorker

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("code", ["print('x' * 100_000)", "llm.complete('?')", "import os; os._exit(3)", "1/0"])
async def test_a_worker_is_not_kept_by_a_cycle_of_references(local: Any, code: str) -> None:
    """The garbage collector comes late, and megabytes of output would wait for it."""
    gc.collect()
    gc.disable()
    try:
        await local.run(code)
        await local.settle()
        async with asyncio.timeout(5):
            while sum(isinstance(found, LocalWorker) for found in gc.get_objects()) > 1:  # the next standby
                await asyncio.sleep(0.01)
    finally:
        gc.enable()
