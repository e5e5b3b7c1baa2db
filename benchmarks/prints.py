"""Times 300,000 prints in sandboxes of the `local` backend, and in CPython on a pipe.

    .venv/bin/python benchmarks/prints.py [--rounds 20] [--count 300000]

Both measure in the script, with its last flush. Rounds are interleaved; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys

from in_turns import compare

from airlock import Project

TIMED = """
import sys, time
began = time.perf_counter()
for n in range({count}): print(n)
sys.stdout.flush()
print(time.perf_counter() - began, file=sys.stderr)
"""


def run_plainly(code: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)


async def main(count: int, rounds: int) -> None:
    code = TIMED.format(count=count)
    project = Project(name="bench")
    await compare(f"{count:,} prints", project, code, "CPython on a pipe", lambda: run_plainly(code), rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--count", type=int, default=300_000)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.count, arguments.rounds))
