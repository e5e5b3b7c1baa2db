"""Times `import pandas` in sandboxes of the `local` backend that preload nothing, and in a virtual environment.

    .venv/bin/python benchmarks/imports.py [--rounds 20] [--module pandas]

Both measure in the script, so the interpreter's start is left out. Rounds are interleaved; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile

from uv import find_uv_bin

from airlock import Job, Project
from airlock.testing import RecordingRun
from airlock_local.backend import LocalBackend, LocalSettings

TIMED = "import time\nbegan = time.perf_counter()\nimport {module}\nprint(time.perf_counter() - began)"


async def main(module: str, rounds: int) -> None:
    code = TIMED.format(module=module)
    backend = LocalBackend(Project(name="bench", packages=(module,)), LocalSettings())
    with tempfile.TemporaryDirectory() as environment:
        _run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, environment)
        python = f"{environment}/bin/python"
        _run(find_uv_bin(), "pip", "install", "--quiet", "--compile-bytecode", "--python", python, module)
        samples: dict[str, list[float]] = {"sandbox": [], "virtual environment": []}
        try:
            await backend.scale(1)
            for _ in range(rounds):
                run = RecordingRun()
                outcome = await backend.execute(Job(id="x", code=code, timeout=60), run)
                assert outcome.error is None, outcome
                samples["sandbox"].append(float(run.stdout))
                samples["virtual environment"].append(float(_run(python, "-c", code)))
        finally:
            await backend.close()
    medians = {name: statistics.median(times) * 1e3 for name, times in samples.items()}
    print(f"| import {module} | median (ms) | minimum (ms) |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3g} | {min(samples[name]) * 1e3:.3g} |")
    print(f"\nratio of medians: {medians['sandbox'] / medians['virtual environment']:.2f}")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--module", default="pandas")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.module, arguments.rounds))
