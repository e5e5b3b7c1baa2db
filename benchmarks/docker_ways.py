"""The compared ways to run a script in a container. They need a Docker daemon that has `image`."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import ways

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IMAGE = "airlock-test-base"  # `.ci/docker` builds it; any image with python3 will do
NAME = "airlock-bench-exec"

# The same hardening as the docker backend's, as far as the command line has options for it.
HARDENED = (
    *("--network", "none", "--user", "65532:65532", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--read-only", "--tmpfs", "/tmp:size=64m,mode=1777", "--ipc", "private", "--log-driver", "none"),
    *(
        "--memory",
        "512m",
        "--memory-swap",
        "512m",
        "--pids-limit",
        "65",
        "--ulimit",
        "nofile=256",
        "--ulimit",
        "core=0",
    ),
)


def is_there(image: str) -> bool:
    """Whether there is a Docker daemon that has the image."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def backend(image: str) -> str:
    """The backend's entry in airlock.yaml."""
    return f"{{type: docker, image: {image}}}"


def docker_run(image: str) -> ways.Run:
    """A new container for each script: `docker run --rm`, hardened."""

    async def run(code: str) -> None:
        await ways.command("docker", "run", "--rm", *HARDENED, image, "python3", "-I", "-S", "-c", code)

    return run


@asynccontextmanager
async def docker_exec(image: str) -> AsyncIterator[ways.Run]:
    """One hardened container for all scripts, which see each other's leftovers: `docker exec`."""
    await ways.command("docker", "run", "--detach", "--rm", "--name", NAME, *HARDENED, image, "sleep", "3600")

    async def run(code: str) -> None:
        await ways.command("docker", "exec", NAME, "python3", "-I", "-S", "-c", code)

    try:
        yield run
    finally:
        await asyncio.shield(ways.command("docker", "rm", "--force", NAME))
