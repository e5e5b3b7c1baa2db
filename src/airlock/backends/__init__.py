"""The contract of backends, the limits that they hold, and the pool of warm single-use workers.

The gateway scales backends and runs call them; plugins implement them. Of core they must know only the project, the
job and the `Run` that they are given.
"""

from .backend import (
    USED_BY_BACKEND,
    Backend,
    BackendSettings,
    Job,
    Pool,
    Project,
    Run,
    Stream,
    check_write,
)
from .broken import BrokenBackend
from .limits import ENFORCED_BY_BACKEND, TERMINALS, Limits
from .outcome import CAUSES, EXIT_CODES, MAX_ERROR, Outcome, one_line, unknown_cause
from .pool import ANSWER_TIME, PooledBackend, Worker

__all__ = [
    "ANSWER_TIME",
    "CAUSES",
    "ENFORCED_BY_BACKEND",
    "EXIT_CODES",
    "MAX_ERROR",
    "TERMINALS",
    "USED_BY_BACKEND",
    "Backend",
    "BackendSettings",
    "BrokenBackend",
    "Job",
    "Limits",
    "Outcome",
    "Pool",
    "PooledBackend",
    "Project",
    "Run",
    "Stream",
    "Worker",
    "check_write",
    "one_line",
    "unknown_cause",
]
