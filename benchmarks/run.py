"""Times Airlock's local backend through HTTP, beside a bare interpreter and bubblewrap, in interleaved rounds.

    .venv/bin/python benchmarks/run.py [--rounds 5] [--quick]

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

import ways
from scripts import SCRIPTS

PANDAS = "a pandas one-liner"
Samples = list[float]


async def paced(run: ways.Run, code: str, count: int, interval: float) -> Samples:
    """One after the other, one begun per `interval` seconds: the latency of a server that is not busy."""
    samples = []
    for _ in range(count):
        began = time.perf_counter()
        await run(code)
        samples.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, interval - samples[-1]))
    return samples


async def closed_loop(run: ways.Run, code: str, count: int, concurrency: int) -> tuple[float, Samples]:
    """`concurrency` callers, each at once again: returns executions per second, and latencies."""
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
    """Medians over rounds, by row and column."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, row: str, column: str, value: float) -> None:
        self._values[row, column].append(value)

    def median(self, row: str, column: str) -> float:
        return statistics.median(self._values[row, column])

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


async def main(rounds: int, scale: float) -> None:
    latency, throughput = Table(), Table()
    n = lambda count: max(3, int(count * scale))  # noqa: E731
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(ways.server(8, []))
        pandas_port = await stack.enter_async_context(ways.server(2, ["pandas"]))
        wait = await stack.enter_async_context(ways.http_wait(port, 64))
        polling = await stack.enter_async_context(ways.http_polling(port, 1))
        pandas = await stack.enter_async_context(ways.http_wait(pandas_port, 1))
        cold_pandas = await stack.enter_async_context(ways.with_packages("pandas"))
        direct = await stack.enter_async_context(ways.without_http(8))
        baselines = {"python3 -I -S -c": ways.bare_subprocess}
        if ways.has_bubblewrap():
            baselines["bubblewrap + python3"] = ways.bubblewrap
        one = SCRIPTS["print(1)"]
        await closed_loop(wait, one, 50, 8)
        await closed_loop(pandas, one, 10, 1)
        for _ in range(rounds):
            for name, code in SCRIPTS.items():
                run = pandas if name == PANDAS else wait
                p50, p99 = quantiles(await paced(run, code, n(100), 0.01))
                latency.add(f"{name}, POST ?wait=, paced", "p50", p50)
                latency.add(f"{name}, POST ?wait=, paced", "p99", p99)
            p50, p99 = quantiles(await paced(cold_pandas, SCRIPTS[PANDAS], n(10), 0))
            latency.add(f"{PANDAS}, python3 -I -S -c", "p50", p50)
            for name, run in {
                "POST ?wait=": wait,
                "polling each ms": polling,
                "without HTTP": direct,
                **baselines,
            }.items():
                _, samples = await closed_loop(run, one, n(200), 1)
                p50, p99 = quantiles(samples)
                latency.add(f"print(1), {name}, closed loop", "p50", p50)
                latency.add(f"print(1), {name}, closed loop", "p99", p99)
            for concurrency in (1, 8, 64):
                for name, run in {"POST ?wait=": wait, "without HTTP": direct, **baselines}.items():
                    rate, _ = await closed_loop(run, one, n(200 if name in baselines else 600), concurrency)
                    throughput.add(name, f"at {concurrency}", rate)
    print(
        f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    )
    print(f"root: {os.geteuid() == 0}, rounds: {rounds}, executions per case and round: {n(100)} to {n(600)}")
    latency.show("Latency", "ms")
    throughput.show("Throughput of print(1)", "executions per second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the executions, to see that it works")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rounds, 0.1 if arguments.quick else 1.0))
