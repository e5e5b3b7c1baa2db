"""Measures the server's CPU time while executions wait for answers and nothing else happens.

    .venv/bin/python benchmarks/paused.py [--paused 300] [--seconds 20] [--backend local]

Prints a Markdown table: percent of a core with none, with these, and with as many whose timeout is nearly used up, so
that little CPU time is left for their pause.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

import ways
from cpu import process_seconds
from http_client import Connection

CONFIG = """
projects:
  bench:
    replicas: 4
    backend: {backend}
    limits: {{max_paused: {paused}, queue: {paused}, llm_timeout: 600}}
"""
ASK = "import time\ntime.sleep({used})\nllm.complete('?')"
SETTLED = 3.0  # seconds


async def used(pid: int, seconds: float) -> float:
    await asyncio.sleep(SETTLED)
    before = process_seconds(pid)
    await asyncio.sleep(seconds)
    return (process_seconds(pid) - before) / seconds * 100


async def paused(connection: Connection, count: int, sleep: float, timeout: int) -> list[str]:
    body = {"project": "bench", "code": ASK.format(used=sleep), "timeout": timeout}
    started = [(await connection.request("POST", "/execute", body))["execution_id"] for _ in range(count)]
    for execution in started:
        answer = await connection.request("GET", f"/executions/{execution}")
        while answer["status"] in ("pending", "running"):
            await asyncio.sleep(0.1)
            answer = await connection.request("GET", f"/executions/{execution}")
        assert answer["status"] == "awaiting_llm", answer
    return started


async def main(count: int, seconds: float, backend: str) -> None:
    print("| executions | % of a core |\n|---|---|")
    async with ways.serve(CONFIG.format(backend=backend, paused=count)) as served:
        connection = Connection(served.port)
        with contextlib.closing(connection):
            print(f"| none | {await used(served.pid, seconds):.2f} |")
            for what, sleep, timeout in (("paused", 0, 60), ("with 0.4 s left", 1.6, 2)):
                started = await paused(connection, count, sleep, timeout)
                print(f"| {count} {what} | {await used(served.pid, seconds):.2f} |", flush=True)
                for execution in started:
                    await connection.request("POST", f"/executions/{execution}/cancel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paused", type=int, default=300, help="how many at once")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--backend", default="local")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.paused, arguments.seconds, arguments.backend))
