"""Times Airlock's backends through HTTP, and other ways to run Python in a sandbox, in interleaved rounds.

    .venv/bin/python benchmarks/run.py [--rounds 5] [--quick] [--only local|docker] [--image airlock-test-base]

Prints Markdown tables: medians over the rounds. Trust ratios within one run more than figures across machines.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import statistics
import time
from collections import defaultdict

import docker_ways
import ways
from scripts import SCRIPTS

PANDAS = "a pandas one-liner"
ONE = SCRIPTS["print(1)"]
REFILL = 4.0  # seconds in which all standby containers are replaced
Samples = list[float]


async def paced(run: ways.Run, code: str, count: int, interval: float) -> Samples:
    """Run one after the other, one every `interval` seconds: the latency of a server that is not busy."""
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        await run(code)
        samples.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, interval - samples[-1]))
    return samples


async def closed_loop(run: ways.Run, code: str, count: int, concurrency: int) -> tuple[float, Samples]:
    """Keep `concurrency` callers busy; returns executions per second, and latencies."""
    samples: Samples = []
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            await run(code)
            samples.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return count / (time.perf_counter() - began), samples


class Table:
    """Medians over the rounds, by row and column."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, row: str, column: str, value: float) -> None:
        self._values[row, column].append(value)

    def median(self, row: str, column: str) -> float:
        return statistics.median(self._values[row, column])

    def add_quantiles(self, row: str, samples: Samples) -> None:
        for column, value in zip(("p50", "p99"), quantiles(samples), strict=True):
            self.add(row, column, value)

    def show(self, title: str, unit: str) -> None:
        rows = list(dict.fromkeys(row for row, _ in self._values))
        columns = list(dict.fromkeys(column for _, column in self._values))
        print(f"\n### {title} ({unit})\n")
        print("| | " + " | ".join(columns) + " |")
        print("|---" * (len(columns) + 1) + "|")
        for row in rows:
            cells = [f"{self.median(row, c):.3g}" if (row, c) in self._values else "-" for c in columns]
            print(f"| {row} | " + " | ".join(cells) + " |")


def quantiles(samples: Samples) -> tuple[float, float]:
    ordered = sorted(samples)
    return ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3


class Local:
    """The local backend, a bare interpreter, and bubblewrap."""

    def __init__(self, stack: contextlib.AsyncExitStack, scale: float) -> None:
        self._stack = stack
        self._scale = scale

    async def start(self) -> None:
        enter = self._stack.enter_async_context
        port = await enter(ways.server(8, []))
        pandas_port = await enter(ways.server(2, ["pandas"]))
        self._wait = await enter(ways.http_wait(port, 64))
        self._polling = await enter(ways.http_polling(port, 1))
        self._pandas = await enter(ways.http_wait(pandas_port, 1))
        self._cold_pandas = await enter(ways.with_packages("pandas"))
        self._direct = await enter(ways.without_http(8))
        self._baselines = {"python3 -I -S -c": ways.bare_subprocess}
        if ways.has_bubblewrap():
            self._baselines["bubblewrap + python3"] = ways.bubblewrap
        await closed_loop(self._wait, ONE, 50, 8)
        await closed_loop(self._pandas, ONE, 10, 1)

    async def round(self, latency: Table, throughput: Table) -> None:
        for name, code in SCRIPTS.items():
            run = self._pandas if name == PANDAS else self._wait
            latency.add_quantiles(f"{name}, POST ?wait=, paced", await paced(run, code, self._n(100), 0.01))
        p50, _ = quantiles(await paced(self._cold_pandas, SCRIPTS[PANDAS], self._n(10), 0))
        latency.add(f"{PANDAS}, python3 -I -S -c", "p50", p50)
        direct = {"without HTTP": self._direct, **self._baselines}
        for name, run in {"POST ?wait=": self._wait, "polling each ms": self._polling, **direct}.items():
            _, samples = await closed_loop(run, ONE, self._n(200), 1)
            latency.add_quantiles(f"print(1), {name}, closed loop", samples)
        for concurrency in (1, 8, 64):
            for name, run in {"POST ?wait=": self._wait, **direct}.items():
                rate, _ = await closed_loop(run, ONE, self._n(200 if name in self._baselines else 600), concurrency)
                throughput.add(name, f"at {concurrency}", rate)

    def _n(self, count: int) -> int:
        return max(3, int(count * self._scale))


class Docker:
    """The docker backend, and Docker's own two ways to run a program in a container."""

    def __init__(self, stack: contextlib.AsyncExitStack, scale: float, image: str) -> None:
        self._stack = stack
        self._scale = scale
        self._image = image

    async def start(self) -> None:
        enter = self._stack.enter_async_context
        port = await enter(ways.server(8, [], docker_ways.backend(self._image)))
        self._ways = {
            "docker, POST ?wait=": await enter(ways.http_wait(port, 8)),
            "docker run --rm": docker_ways.docker_run(self._image),
            "docker exec": await enter(docker_ways.docker_exec(self._image)),
        }

    async def round(self, latency: Table, throughput: Table) -> None:
        count = max(3, int(40 * self._scale))
        for name, run in self._ways.items():
            await asyncio.sleep(REFILL)
            samples = await paced(run, ONE, count // 2, 0.5)  # slow enough for every execution to find a warm container
            latency.add_quantiles(f"print(1), {name}, 2 per second", samples)
        for concurrency in (1, 8):
            for name, run in self._ways.items():
                # First use up the standby containers, so that the measured executions wait for new ones.
                await closed_loop(run, ONE, 8 + concurrency, concurrency)
                rate, _ = await closed_loop(run, ONE, count, concurrency)
                throughput.add(name, f"at {concurrency}", rate)
                await asyncio.sleep(REFILL)


async def main(rounds: int, scale: float, only: str | None, image: str) -> None:
    latency, throughput = Table(), Table()
    async with contextlib.AsyncExitStack() as stack:
        measured: list[Local | Docker] = [] if only == "docker" else [Local(stack, scale)]
        if only != "local" and docker_ways.is_there(image):
            measured.append(Docker(stack, scale, image))
        for one in measured:
            await one.start()
        for _ in range(rounds):
            for one in measured:
                await one.round(latency, throughput)
    print(
        f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    )
    print(f"root: {os.geteuid() == 0}, rounds: {rounds}, share of the executions per case and round: {scale:.0%}")
    latency.show("Latency", "ms")
    throughput.show("Throughput of print(1)", "executions per second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the executions, as a trial run")
    parser.add_argument("--only", choices=["local", "docker"], help="only this backend, and what it is compared with")
    parser.add_argument("--image", default=docker_ways.IMAGE, help="image for docker; docker is skipped without it")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, 0.1 if arguments.quick else 1.0, arguments.only, arguments.image))
