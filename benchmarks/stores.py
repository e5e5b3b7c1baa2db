"""Measures what stores, keys, waiting clients and long queues cost a server.

    .venv/bin/python benchmarks/stores.py [--rounds 5] [--quick]

Prints Markdown tables: medians over the rounds, each of which measures every server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import ways
from http_client import Connection
from run import ONE, closed_loop, quantiles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "benchmark" * 4
KEYS = f"server: {{keys: [{{name: bench, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}]}}\n"
SQLITE = "store: {type: sqlite, path: bench.db}\n"
SERVERS = {  # the lines above the project in airlock.yaml, and the key that clients send
    "memory": ("", ""),
    "sqlite": (SQLITE, ""),
    "memory, with a key": (KEYS, KEY),
    "sqlite, with a key": (SQLITE + KEYS, KEY),
}
PROJECT = """
projects:
  bench: {replicas: 8, backend: local}
"""
BUSY = """
projects:
  bench: {replicas: 1, backend: local, limits: {queue: 20000}}
  other: {replicas: 1, backend: local}
"""
CONCURRENCY = 8
WAITING = 1_000
PENDING = 10_000
LOOK = 20.0  # seconds for which waiting clients are measured
TICKS = os.sysconf("SC_CLK_TCK")


async def throughput(rounds: int, count: int) -> None:
    """Executions per second of `print(1)`, and how long a poll takes beside /health."""
    rates: dict[str, list[float]] = defaultdict(list)
    polls: dict[str, list[float]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        runs, connections = {}, {}
        for name, (head, key) in SERVERS.items():
            served = await stack.enter_async_context(ways.serve(head + PROJECT))
            runs[name] = await stack.enter_async_context(ways.http_wait(served.port, CONCURRENCY, key))
            connections[name] = Connection(served.port, key)
            await closed_loop(runs[name], ONE, 50, CONCURRENCY)
        for _ in range(rounds):
            for name, run in runs.items():
                rate, _ = await closed_loop(run, ONE, count, CONCURRENCY)
                rates[name].append(rate)
            for name, connection in connections.items():
                body = {"project": "bench", "code": "print(1)"}
                path = f"/executions/{(await connection.request('POST', '/execute?wait=30', body))['execution_id']}"
                for what, asked in (("poll", path), ("/health", "/health")):

                    async def ask(_: str, connection: Connection = connection, asked: str = asked) -> None:
                        await connection.request("GET", asked)

                    _, samples = await closed_loop(ask, "", count, 1)
                    polls[f"{name}, {what}"].append(quantiles(samples)[0])
    print(f"| print(1) at concurrency {CONCURRENCY} | per second | times memory | poll, ms | times /health |")
    print("|---|---|---|---|---|")
    for name in SERVERS:
        ratio = statistics.median(one / other for one, other in zip(rates[name], rates["memory"], strict=True))
        poll, health = (statistics.median(polls[f"{name}, {what}"]) for what in ("poll", "/health"))
        print(f"| {name} | {statistics.median(rates[name]):.0f} | {ratio:.2f} | {poll:.2f} | {poll / health:.1f} |")


async def waiting(rounds: int, clients: int) -> None:
    """The cost of many clients that wait for news of an idle script, in long polls or event streams."""
    print(f"\n| {clients} clients wait, nothing happens | % of a core | MB more |\n|---|---|---|")
    async with ways.serve(SQLITE + PROJECT) as served:
        first = Connection(served.port)
        body = {"project": "bench", "code": "llm.complete('?')"}
        asked = await first.request("POST", "/execute?wait=30", body)
        path = f"/executions/{asked['execution_id']}"
        for name, target in (
            ("long polls", f"{path}?wait=30&since={asked['version']}"),
            ("event streams", f"{path}/events"),
        ):
            shares, sizes = [], []
            for _ in range(rounds):
                size = resident(served.pid)
                async with many(served.port, target, clients):
                    used = cpu(served.pid)
                    await asyncio.sleep(LOOK)
                    shares.append((cpu(served.pid) - used) / LOOK * 100)
                    sizes.append(resident(served.pid) - size)
                await asyncio.sleep(1)
            print(f"| {name} | {statistics.median(shares):.2f} | {statistics.median(sizes):.0f} |")


@contextlib.asynccontextmanager
async def many(port: int, target: str, clients: int) -> AsyncIterator[None]:
    """Let `clients` clients wait for a response, or for more of it."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    try:
        for _, writer in opened:
            writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await asyncio.sleep(3)
        yield
    finally:
        for _, writer in opened:
            writer.close()


async def pending(count: int) -> None:
    """The memory of a long queue, and how soon another project starts beside it."""
    print(f"\n| {count} executions pending | MB of the server | another project's print(1), ms |\n|---|---|---|")
    for name, head in (("memory", ""), ("sqlite", SQLITE)):
        async with ways.serve(head + BUSY) as served:
            connection = Connection(served.port)
            for project in ("bench", "other"):
                await connection.request("POST", f"/projects/{project}/up", {"replicas": 1})
            body = {"project": "bench", "code": "import time; time.sleep(600)", "timeout": 900}
            for _ in range(count + 1):
                await connection.request("POST", "/execute", body)

            async def other(code: str, connection: Connection = connection) -> None:
                await connection.request("POST", "/execute?wait=30", {"project": "other", "code": code})

            _, samples = await closed_loop(other, ONE, 50, 1)
            print(f"| {name} | {resident(served.pid):.0f} | {quantiles(samples)[0]:.1f} |")


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> float:
    """Megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


async def main(rounds: int, scale: float) -> None:
    def n(count: int) -> int:
        return max(10, int(count * scale))

    await throughput(rounds, n(600))
    await waiting(rounds, n(WAITING))
    await pending(n(PENDING))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, as a trial run")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, 0.1 if arguments.quick else 1.0))
