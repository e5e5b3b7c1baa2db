"""Times `import pandas` in sandboxes of the `local` backend that preload nothing, and in a virtual environment.

    .venv/bin/python benchmarks/imports.py [--rounds 20] [--module pandas]

Both measure in the script, so the interpreter's start is left out. Rounds are interleaved; trust the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile

from in_turns import compare
from uv import find_uv_bin

from airlock import Project

TIMED = """
import sys, time
began = time.perf_counter()
import {module}
print(time.perf_counter() - began, file=sys.stderr)
"""


def run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, check=True, capture_output=True)


async def main(module: str, rounds: int) -> None:
    code = TIMED.format(module=module)
    project = Project(name="bench", packages=(module,))
    with tempfile.TemporaryDirectory() as environment:
        run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, environment)
        python = f"{environment}/bin/python"
        run(find_uv_bin(), "pip", "install", "--quiet", "--compile-bytecode", "--python", python, module)
        title = f"import {module}"
        await compare(title, project, code, "virtual environment", lambda: run(python, "-c", code), rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--module", default="pandas")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.module, arguments.rounds))
