"""Measures how soon Airlock reacts to answers, deadlines and cancellation, and the memory of a standby.

    .venv/bin/python benchmarks/reactions.py [--rounds 5]

Prints a Markdown table: medians over the rounds of each round's median and worst value.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

import ways
from http_client import Connection

from airlock import Job, Project
from airlock.testing import RecordingRun, never_answers
from airlock_local.backend import LocalBackend, LocalSettings

ASK = "import time\nllm.complete('?')\nset_result(time.monotonic())"
ENDLESS = "print(1)\nwhile True: pass"
BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
WEIGHED = 8  # additional standbys, so that the memory that they share with the zygote counts once


async def answer_to_resumption(connection: Connection) -> float:
    """From sending an answer to the script's next line, on a clock that both can read."""
    paused = await connection.request("POST", "/execute?wait=30", {"project": "bench", "code": ASK})
    path = f"/executions/{paused['execution_id']}"
    answered = time.monotonic()
    await connection.request("POST", f"{path}/respond", {"response": "x"})
    done = await connection.request("GET", f"{path}?wait=30")
    return float(done["result"]) - answered


async def deadline_to_end(connection: Connection) -> float:
    """From the end of a script's timeout of 1 s to the response that says so."""
    body = {"project": "bench", "code": ENDLESS, "timeout": 1}
    created = await connection.request("POST", "/execute", body)
    path = f"/executions/{created['execution_id']}"
    running = await connection.request("GET", f"{path}?wait=30&since=0")
    began = time.monotonic()
    assert running["status"] == "running", running
    done = await connection.request("GET", f"{path}?wait=30")
    assert done["status"] == "timeout", done
    return time.monotonic() - began - 1


async def cancellation_to_end(connection: Connection) -> float:
    """From sending the cancellation to the response that the script has ended, when all its processes are dead."""
    created = await connection.request("POST", "/execute", {"project": "bench", "code": ENDLESS})
    path = f"/executions/{created['execution_id']}"
    await connection.request("GET", f"{path}?wait=30&since=0")
    began = time.monotonic()
    done = await connection.request("POST", f"{path}/cancel")
    assert done["error_type"] == "cancelled", done
    return time.monotonic() - began


async def megabytes_per_standby(backend: LocalBackend, idle: int) -> tuple[float, float]:
    """Proportional set size that an idle standby adds, and that of one that has run `print(1)` and still exists."""
    before = _weight()
    await backend.scale(idle + WEIGHED)
    await asyncio.sleep(0.2)
    weight = _weight() - before
    await backend.scale(idle)
    await asyncio.sleep(0.2)
    before = _weight()
    job = Job(id="x", code="print(1)\nllm.complete('?')", timeout=60)
    running = [asyncio.create_task(backend.execute(job, RecordingRun(never_answers))) for _ in range(idle)]
    await asyncio.sleep(0.5)  # until new standbys are ready
    peak = _weight() - before
    for each in running:
        each.cancel()
    await asyncio.wait(running)
    await asyncio.sleep(0.2)
    return weight / WEIGHED / 1024, peak / idle / 1024


def _weight() -> int:
    return sum(pss(pid) for pid in _descendants(os.getpid()))


def pss(pid: int) -> int:
    """Proportional set size of a process, kB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # gone
    pids = next(line.split()[1:] for line in status if line.startswith("NSpid:"))
    if len(pids) > 2 and pids[-1] == "1":
        return 0  # an init: it shares the memory of its maker, which is counted
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return [*children, *(found for child in children for found in _descendants(child))]


async def main(rounds: int) -> None:
    found: dict[str, list[list[float]]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(ways.server(4, []))
        connection, control = Connection(port), Connection(port)
        backend = LocalBackend(Project(name="reactions"), LocalSettings())
        stack.push_async_callback(backend.close)
        await backend.scale(4)
        for _ in range(rounds):
            found["answer to resumed script, ms"].append([await answer_to_resumption(connection) for _ in range(20)])
            found["deadline to terminal status, ms"].append([await deadline_to_end(connection) for _ in range(3)])
            bomb = await control.request("POST", "/execute", {"project": "bench", "code": BOMB, "timeout": 10})
            found["the same beside a fork bomb, ms"].append([await deadline_to_end(connection) for _ in range(3)])
            await control.request("GET", f"/executions/{bomb['execution_id']}?wait=30")
            found["cancellation to terminal status, ms"].append(
                [await cancellation_to_end(connection) for _ in range(10)]
            )
            weights = await megabytes_per_standby(backend, 4)
            for name, weight in zip(("an idle standby, MB", "one that has run print(1), MB"), weights, strict=True):
                found[name].append([weight / 1000])
    print("| | median | worst |\n|---|---|---|")
    for name, samples in found.items():
        median = statistics.median(statistics.median(one) for one in samples) * 1e3
        worst = statistics.median(max(one) for one in samples) * 1e3
        print(f"| {name} | {median:.3g} | {worst:.3g} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
