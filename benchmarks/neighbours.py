"""Measures how much a bomb slows a neighbour down: its latency beside each kind of bomb, and alone.

    .venv/bin/python benchmarks/neighbours.py [--rounds 5] [--bombs 1] [--only fork] [--packages pandas]

Prints a Markdown table: medians over the rounds of the neighbour's p95, its ratio to the p95 alone in the same round,
and the slowest response of /health.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from collections import defaultdict

import ways
from http_client import Connection
from run import paced

BOMBS = {
    "spin": """
while True: pass
""",
    "fork": """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
    "threads": """
import threading, time
while True:
    try: threading.Thread(target=time.sleep, args=(60,)).start()
    except RuntimeError: pass
""",
    "memory": """
while True:
    x = bytearray(400 << 20)
    for i in range(0, len(x), 4096): x[i] = 1
""",
    "scratch": """
while True:
    try: open('/tmp/x', 'wb').write(b'x' * (32 << 20))
    except OSError: pass
""",
    "output": """
import sys
while True: sys.stdout.write('x' * 100_000)
""",
    "results": """
while True: set_result('x' * 100_000)
""",
    "files": """
import os
while True:
    for n in range(1000): open(f'/tmp/{n}', 'w').close()
    for n in range(1000): os.unlink(f'/tmp/{n}')
""",
}
SECONDS = 6


async def slowest_health(connection: Connection, until: asyncio.Event) -> float:
    slowest = 0.0
    while not until.is_set():
        began = time.perf_counter()
        await connection.request("GET", "/health")
        slowest = max(slowest, time.perf_counter() - began)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), 0.02)
    return slowest


def p95(samples: list[float]) -> float:
    return sorted(samples)[int(len(samples) * 0.95)] * 1e3


async def main(rounds: int, at_once: int, names: list[str], packages: list[str]) -> None:
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(ways.server(4, packages))
        neighbour = await stack.enter_async_context(ways.http_wait(port, 1))
        health = Connection(port)
        control = Connection(port)
        await paced(neighbour, "print(1)", 20, 0.01)
        for _ in range(rounds):
            alone = p95(await paced(neighbour, "print(1)", 200, 0.01))
            for name in names:
                bomb = {"project": "bench", "code": BOMBS[name], "timeout": SECONDS}
                bombs = [(await control.request("POST", "/execute", bomb))["execution_id"] for _ in range(at_once)]
                await asyncio.sleep(0.3)
                over = asyncio.Event()
                watching = asyncio.create_task(slowest_health(health, over))
                beside = p95(await paced(neighbour, "print(1)", 200, 0.01))
                over.set()
                found[name].append((beside, beside / alone, await watching * 1e3))
                for execution in bombs:
                    await control.request("GET", f"/executions/{execution}?wait=30")
    print(f"| bomb, {at_once} at once | neighbour's p95, ms | times its p95 alone | slowest /health, ms |")
    print("|---|---|---|---|")
    for name, values in found.items():
        medians = [statistics.median(column) for column in zip(*values, strict=True)]
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in medians) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bombs", type=int, default=1, help="bombs of a kind at once")
    parser.add_argument("--only", nargs="+", choices=BOMBS, default=list(BOMBS), help="bombs to try")
    parser.add_argument("--packages", nargs="+", default=[], help="the project's packages, preloaded")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, arguments.bombs, arguments.only, arguments.packages))
