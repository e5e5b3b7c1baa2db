"""Measures how long a script with processes that only fork, or only wake, holds up a script of another project.

    .venv/bin/python benchmarks/forkers.py [--rounds 3] [--kind wake] [--processes 8] [--limits '{cpus: 2}']

Prints a Markdown table of the neighbour's latencies in ms, alone and beside that script, over all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import ways
from http_client import Connection
from in_process import until_ready

CONFIG = """
projects:
  loud: {{replicas: 1, backend: local, limits: {limits}}}
  quiet: {{replicas: 4, backend: local, limits: {limits}}}
"""
MANY = """
import os, time
for _ in range({count} - 1):
    if os.fork() == 0: break
"""
KINDS = {
    "fork": """
while True:
    child = os.fork()
    if child == 0: os._exit(0)
    os.waitpid(child, 0)
""",
    "wake": """
while True:
    for _ in range(5000): pass
    time.sleep(0.0001)
""",
    "spin": """
while True: pass
""",
}
TENTH = "import time\nwhile time.process_time() < {seconds}: pass"  # of a second of CPU time
WARM = 0.5  # seconds until all processes are there
PAUSE = 0.05  # seconds between two scripts of the neighbour


async def latencies(connection: Connection, code: str, samples: int) -> list[float]:
    found = []
    for _ in range(samples):
        began = time.perf_counter()
        answer = await connection.request("POST", "/execute?wait=30", {"project": "quiet", "code": code})
        found.append((time.perf_counter() - began) * 1e3)
        assert answer["status"] == "completed", answer
        await asyncio.sleep(PAUSE)
    return found


async def main(options: argparse.Namespace) -> None:
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    loud = MANY.format(count=options.processes) + KINDS[options.kind]
    quiet = TENTH.format(seconds=options.seconds)
    async with ways.serve(CONFIG.format(limits=options.limits)) as served:
        connection, control = Connection(served.port), Connection(served.port)
        await until_ready(connection.request)
        await latencies(connection, "print(1)", 5)
        for _ in range(options.rounds):
            found["alone"] += await latencies(connection, quiet, options.samples)
            body = {"project": "loud", "code": loud, "timeout": 600}
            execution = (await control.request("POST", "/execute", body))["execution_id"]
            await asyncio.sleep(WARM)
            found["beside"] += await latencies(connection, quiet, options.samples)
            await control.request("POST", f"/executions/{execution}/cancel")
        connection.close()
        control.close()
    print("| neighbour | p50 | p95 | max |\n|---|---|---|---|")
    for name, values in found.items():
        values.sort()
        p50, p95 = (values[int(len(values) * share)] for share in (0.5, 0.95))
        print(f"| {name} | {p50:.0f} | {p95:.0f} | {values[-1]:.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="fork", help="what the processes do")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--samples", type=int, default=40, help="scripts of the neighbour in a round")
    parser.add_argument("--seconds", type=float, default=0.1, help="CPU time of such a script")
    parser.add_argument("--limits", default="{}", help="of both projects, as YAML")
    asyncio.run(main(parser.parse_args()))
