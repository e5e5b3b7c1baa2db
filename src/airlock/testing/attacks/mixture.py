"""Executions of every kind, one by one and beside each other, for tests of what many of them leave behind."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from airlock.testing.running import RunningPool

KINDS: Final[dict[str, tuple[str, str | None]]] = {  # code, and how it ends
    "completed": ("print('x' * 1000); set_result([1, 2])", None),
    "script_error": ("1 / 0", "script_error"),
    "memory_limit": ("x = []\nwhile True: x.append(bytearray(1 << 20))", "memory_limit"),
    "protocol": ("import os; os.write(3, b'\\xff' * 100)", "protocol"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "script_error"),
    "forked": ("import os\nfor _ in range(5):\n    if os.fork() == 0:\n        import time; time.sleep(60)", None),
    "asked": ("set_result(llm.complete('?'))", None),
    "cancelled": ("print(1)\nwhile True: pass", None),
}


class Mixture:
    """Runs many of them, and checks that each ends as it should. For a pool with a small `limits.memory`."""

    def __init__(self, pool: RunningPool[Any], at_once: int = 4) -> None:
        self._pool = pool
        self._at_once = at_once

    async def run(self, count: int, seed: int) -> None:
        """Run `count` executions, and wait until the pool is complete again."""
        chosen = random.Random(seed)  # noqa: S311 - the same every time
        left = iter([chosen.choice(list(KINDS)) for _ in range(count)])

        async def caller() -> None:
            for kind in left:
                await self._one(kind)

        await asyncio.gather(*(caller() for _ in range(self._at_once)))
        await self._pool.settle()

    async def _one(self, kind: str) -> None:
        code, cause = KINDS[kind]
        if kind != "cancelled":
            ran = await self._pool.run(code)
            assert ran.error_type == cause, (kind, ran)
            return
        task, run = self._pool.start(code)
        await run.until(lambda run: run.stdout)
        task.cancel()
        await asyncio.wait({task})
