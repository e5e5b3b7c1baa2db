"""Times 300,000 prints in sandboxes of the `local` backend, and in CPython on a pipe.

    .venv/bin/python benchmarks/prints.py [--rounds 20] [--count 300000]

Both measure in the script, with its last flush. Rounds are interleaved; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys

from airlock import Job, Project
from airlock.testing import RecordingRun
from airlock_local.backend import LocalBackend, LocalSettings

TIMED = """
import sys, time
began = time.perf_counter()
for n in range({count}): print(n)
sys.stdout.flush()
print(time.perf_counter() - began, file=sys.stderr)
"""


async def main(count: int, rounds: int) -> None:
    code = TIMED.format(count=count)
    backend = LocalBackend(Project(name="bench"), LocalSettings())
    samples: dict[str, list[float]] = {"sandbox": [], "CPython on a pipe": []}
    try:
        await backend.scale(1)
        for _ in range(rounds):
            run = RecordingRun()
            outcome = await backend.execute(Job(id="x", code=code, timeout=60), run)
            assert outcome.error is None, outcome
            samples["sandbox"].append(float(run.stderr))
            plain = _run_plainly(code)
            samples["CPython on a pipe"].append(float(plain.stderr))
            assert run.output["stdout"] == plain.stdout
    finally:
        await backend.close()
    medians = {name: statistics.median(times) * 1e3 for name, times in samples.items()}
    print(f"| {count:,} prints | median (ms) | minimum (ms) |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3g} | {min(samples[name]) * 1e3:.3g} |")
    print(f"\nratio of medians: {medians['sandbox'] / medians['CPython on a pipe']:.2f}")


def _run_plainly(code: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=300_000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.count, arguments.rounds))
