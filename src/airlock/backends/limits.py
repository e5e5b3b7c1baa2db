"""`limits:` of a project: one model for every backend, so that a limit means the same everywhere."""

from __future__ import annotations

import math
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from airlock.models import MAX_REPLICAS, MAX_TIMEOUT
from airlock.units import Seconds, Size, WholeSeconds, format_size

ENFORCED_BY_BACKEND: Final = frozenset({"cpus", "memory", "processes", "files", "file_size", "scratch"})
"""The limits that only a sandbox can enforce. Core enforces all others, for every backend."""

TERMINALS: Final = 4
"""Pseudo-terminals of one execution, where a sandbox has any: the machine counts them all (kernel.pty.max)."""


class Limits(BaseModel):
    """What one execution, and one project, may use at most. Times are seconds, sizes are bytes or `512MiB`.

    The first group needs a backend that lists the key in `enforces`; core enforces the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpus: float | None = Field(
        None,
        gt=0,
        le=1024,
        description="CPU cores that one execution may use; unset: half of the machine's if several projects could set "
        "it, else no limit",
    )
    memory: Size = Field(512 << 20, ge=16 << 20, description="memory of one execution, all its processes together")
    processes: int = Field(64, ge=1, le=32_768, description="processes and threads of one execution")
    files: int = Field(256, ge=16, le=65_536, description="open descriptors of one process")
    file_size: Size = Field(64 << 20, ge=0, description="largest file that a script may write")
    scratch: Size = Field(64 << 20, ge=1 << 20, description="size of the private /tmp of one execution")

    timeout: WholeSeconds = Field(
        3600, ge=1, le=MAX_TIMEOUT, description="longest run time that a request may ask for, in seconds"
    )
    output: Size = Field(1 << 20, ge=0, description="stdout and stderr each; anything beyond is dropped")
    result: Size = Field(1 << 20, ge=2, description="result as JSON, and memory_updates as JSON")
    llm_calls: int = Field(1000, ge=0, description="LLM requests of one execution")
    prompt: Size = Field(1 << 20, ge=1, description="one LLM prompt")

    queue: int = Field(1000, ge=0, description="executions of the project that may wait for a worker")
    max_paused: int = Field(100, ge=0, description="paused executions that may hold a sandbox besides the running ones")
    max_replicas: int = Field(64, ge=1, le=MAX_REPLICAS, description="most workers that POST .../up may ask for")
    queue_timeout: Seconds = Field(600, gt=0, description="seconds that an execution may wait for a worker")
    llm_timeout: Seconds = Field(600, gt=0, description="seconds that one LLM request may stay unanswered")
    shutdown_grace: Seconds = Field(10, ge=0, description="seconds that running executions get at shutdown or down")

    def usable_cores(self, available: int) -> int:
        """Return how many of the machine's CPU cores one execution can keep busy at once."""
        return available if self.cpus is None else max(1, min(available, math.ceil(self.cpus)))

    def reached(self, key: str) -> str:
        """Return the line for stderr that names the limit behind a script's OSError."""
        value = getattr(self, key)
        shown = format_size(value) if key in ("file_size", "memory", "scratch") else value
        return f"airlock: limits.{key} ({shown}) was reached"
