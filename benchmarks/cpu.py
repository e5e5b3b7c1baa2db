"""Measures the server's CPU time for a POST and for a GET.

    .venv/bin/python benchmarks/cpu.py [--rounds 10] [--quick]

Prints a Markdown table: minimum and median over the rounds, each in new processes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from http_client import Connection
from in_process import configuration, in_process, until_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_process import Request

CONFIG = "projects: {bench: {replicas: 8, backend: mock}}"
REQUESTS = ("POST /execute?wait=10", "GET /executions/{id}")
POSTS, GETS = 2_000, 5_000
TICKS = os.sysconf("SC_CLK_TCK")


async def cpu_of_requests(request: Request, seconds: Callable[[], float], scale: float) -> tuple[float, float]:
    """Return the CPU microseconds of a POST and of a GET."""
    body = {"project": "bench", "code": "print(1)"}

    async def each(count: int, method: str, target: str, body: Any = None) -> float:
        before = seconds()
        for _ in range(count):
            await request(method, target, body)
        return (seconds() - before) / count * 1e6

    done = await request("POST", "/execute?wait=10", body)
    assert done["status"] == "completed", done
    target = f"/executions/{done['execution_id']}"
    for warm in (0.1, 1):
        posts = await each(int(POSTS * scale * warm), "POST", "/execute?wait=10", body)
        gets = await each(int(GETS * scale * warm), "GET", target)
    return posts, gets


def app_round(scale: float) -> tuple[float, float]:
    """Measure the app in this process, which is a new one."""

    async def measured() -> tuple[float, float]:
        async with in_process() as request:
            return await cpu_of_requests(request, time.process_time, scale)

    return asyncio.run(measured())


def server_round(scale: float) -> tuple[float, float]:
    """Measure a server process on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "airlock", "--host", "127.0.0.1", "--port", str(port))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:

        async def measured() -> tuple[float, float]:
            connection = Connection(port)
            try:
                await until_ready(connection.request)
                return await cpu_of_requests(connection.request, lambda: process_seconds(server.pid), scale)
            finally:
                connection.close()

        try:
            return asyncio.run(measured())
        finally:
            server.terminate()


def process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main(rounds: int, scale: float) -> None:
    new = multiprocessing.get_context("spawn")
    found: dict[str, list[tuple[float, float]]] = {"app alone": [], "server": []}
    with configuration(CONFIG), ProcessPoolExecutor(1, new, max_tasks_per_child=1) as processes:
        for _ in range(rounds):
            found["app alone"].append(processes.submit(app_round, scale).result())
            found["server"].append(server_round(scale))
    print("| CPU microseconds | minimum | median |\n|---|---|---|")
    for what, samples in found.items():
        for name, values in zip(REQUESTS, zip(*samples, strict=True), strict=True):
            print(f"| {name}, {what} | {min(values):.0f} | {statistics.median(values):.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, as a trial run")
    options = parser.parse_args()
    main(options.rounds, 0.1 if options.quick else 1)
