"""The start of a worker, over a stream that is here a plain socket pair: no daemon is needed."""

import asyncio
import gc
import socket
from typing import Any

import pytest

from airlock import Limits
from airlock.sandbox import Watch
from airlock_docker.engine import Engine
from airlock_docker.worker import DockerWorker


@pytest.mark.anyio
async def test_a_start_that_is_given_up_while_its_container_dies_is_no_error(anyio_backend: str) -> None:
    engine = Engine("unix:///nowhere", start_time_limit=1, stop_time_limit=1)
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    for turns in range(5):  # wherever it is
        ours, theirs = socket.socketpair()
        worker = DockerWorker(engine, "c", 64111, Limits(), 1, Watch(), lambda worker: None)
        starting = asyncio.create_task(worker.start(ours, 30))
        for _ in range(turns):
            await asyncio.sleep(0)
        theirs.close()
        starting.cancel()
        await asyncio.wait({starting})
        await asyncio.sleep(0.01)
        ours.close()
        del worker, starting
        gc.collect()
    await engine.close()
    assert said == []
