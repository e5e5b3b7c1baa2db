"""Hooks."""

from collections.abc import Iterable
from typing import Any

import airlock


class GoodBackend(airlock.Backend[airlock.BackendSettings]):
    type = "good"

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> airlock.Pool:
        return airlock.Pool(replicas=0, idle=0)

    async def execute(self, job: airlock.Job, run: airlock.Run) -> airlock.Outcome:
        return airlock.Outcome()


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    return [GoodBackend]
