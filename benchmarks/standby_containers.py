"""Measures what standby containers cost the server in memory and threads, without what they use themselves.

    .venv/bin/python benchmarks/standby_containers.py [--containers 100] [--image airlock-test-base]

Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import docker_ways
from reactions import pss

from airlock import Project
from airlock_docker.backend import DockerBackend, DockerSettings


def measured() -> dict[str, float]:
    return {
        "memory, MB": pss(os.getpid()) / 1000,
        "threads": threading.active_count(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


async def main(containers: int, image: str) -> None:
    backend = DockerBackend(Project(name="bench"), DockerSettings(image=image))
    try:
        await backend.scale(4)  # opens the connections and threads that are kept for later calls
        gc.collect()
        before = measured()
        began = time.perf_counter()
        await backend.scale(4 + containers)
        took = time.perf_counter() - began
        gc.collect()
        print(f"| of the server | with 4 standbys | with {4 + containers} |\n|---|---|---|")
        for (name, one), other in zip(before.items(), measured().values(), strict=True):
            print(f"| {name} | {one:.3g} | {other:.3g} |")
        print(f"\n{containers / took:.3g} containers started per second")
    finally:
        await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--image", default=docker_ways.IMAGE)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.containers, arguments.image))
