"""`limits:` of a project: one model for every backend, so that a limit means the same everywhere."""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .models import MAX_REPLICAS, MAX_TIMEOUT

UNITS: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9}


_MEANT: Final = {
    **{f"{letter}{rest}": f"{letter.upper()}iB" for letter in "kmg" for rest in ("", "i", "ib")},
    "b": "B",
    "kb": "kB",
    "mb": "MB",
    "gb": "GB",
}
_SECONDS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}


def parse_size(value: object) -> object:
    """Turn `512MiB` into bytes. Plain whole numbers are bytes already.

    Raises ValueError when the text is not a whole number with one of the known units.
    """
    if not isinstance(value, str):
        return value
    digits = value.strip().rstrip("BKMGik ")
    unit = value.strip()[len(digits) :].strip()
    if not digits.isdecimal() or unit not in UNITS:
        number, unit = _number_and_unit(value)
        if unit in _MEANT:  # it is not guessed: to Docker 512M is 512 * 1024 * 1024, to Kubernetes 512 * 1000 * 1000
            raise ValueError(f"not a size; write {number}{_MEANT[unit]}")
        raise ValueError(f"not a size; write a whole number with one of {', '.join(u for u in UNITS if u)}")
    return int(digits) * UNITS[unit]


def refuse_units(value: object) -> object:
    """Let numbers of seconds pass. Raises ValueError for `5m`, with the number that stands for it."""
    if isinstance(value, str):
        number, unit = _number_and_unit(value)
        if unit in _SECONDS:
            raise ValueError(f"times are seconds, without a unit; write {int(number) * _SECONDS[unit]}")
    return value


def _number_and_unit(text: str) -> tuple[str, str]:
    """Split `5 m`; two empty texts for all else, so that no secret is shown."""
    found = re.fullmatch(r"\s*([0-9]{1,12})\s*([A-Za-z]{1,3})\s*", text)
    return (found[1], found[2].lower()) if found else ("", "")


def format_size(size: int) -> str:
    """Write bytes the way airlock.yaml does: `512MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return f"{size}B"


Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str)]
Seconds = Annotated[float, BeforeValidator(refuse_units)]
WholeSeconds = Annotated[int, BeforeValidator(refuse_units)]

ENFORCED_BY_BACKEND: Final = frozenset({"cpus", "memory", "processes", "files", "file_size", "scratch"})
"""The limits that only a sandbox can hold. All others are core's, and hold for every backend."""


class Limits(BaseModel):
    """What one execution, and one project, may use at most. Times are seconds, sizes are bytes or `512MiB`.

    The first group needs a backend that lists the key in `enforces`; core holds the rest itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpus: float | None = Field(None, gt=0, le=1024, description="CPU cores that one execution may use; unset: no bound")
    memory: Size = Field(512 << 20, ge=16 << 20, description="memory of one execution, all its processes together")
    processes: int = Field(64, ge=1, le=32_768, description="processes and threads of one execution")
    files: int = Field(256, ge=16, le=65_536, description="open descriptors of one process")
    file_size: Size = Field(64 << 20, ge=0, description="largest file that a script may write")
    scratch: Size = Field(64 << 20, ge=1 << 20, description="size of the private /tmp of one execution")

    timeout: WholeSeconds = Field(
        3600, ge=1, le=MAX_TIMEOUT, description="most run time that a request may ask for, in seconds"
    )
    output: Size = Field(1 << 20, ge=0, description="stdout and stderr each; what is over it is dropped")
    result: Size = Field(1 << 20, ge=2, description="result as JSON, and memory_updates as JSON")
    llm_calls: int = Field(1000, ge=0, description="LLM requests of one execution")
    prompt: Size = Field(256 << 10, ge=1, description="one LLM prompt")

    queue: int = Field(1000, ge=0, description="executions of the project that may wait for a worker")
    max_paused: int = Field(100, ge=0, description="paused executions that may hold a sandbox beside the running ones")
    max_replicas: int = Field(64, ge=1, le=MAX_REPLICAS, description="most workers that POST .../up may ask for")
    queue_timeout: Seconds = Field(600, gt=0, description="seconds that an execution may wait for a worker")
    llm_timeout: Seconds = Field(600, gt=0, description="seconds that one LLM request may stay unanswered")
    shutdown_grace: Seconds = Field(10, ge=0, description="seconds that running executions get at shutdown or down")

    def usable_cores(self, available: int) -> int:
        """Return how many of the machine's CPU cores one execution can keep busy at once."""
        return available if self.cpus is None else max(1, min(available, math.ceil(self.cpus)))

    def reached(self, key: str) -> str:
        """Return the line for stderr that names the limit behind an OSError that a script got."""
        value = getattr(self, key)
        shown = format_size(value) if key in ("file_size", "memory", "scratch") else value
        return f"airlock: limits.{key} ({shown}) was reached"
