"""What agents and other REST clients talk to Airlock with.

Clients: `Airlock`, and for asyncio and trio `AsyncAirlock`.
What they return: `Result`, `ExecutionStatus`, `Event`, `ProjectInfo`, `PoolStatus`, `OpenLLMRequest`.
What they raise: `ClientError`, with the tree drawn in errors.py. `LLMError` is what an `llm` callable may raise.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import (
    AccessDenied,
    ClientError,
    Conflict,
    InvalidRequest,
    LLMError,
    NotAirlock,
    NotFound,
    ProblemError,
    QuotaExceeded,
    ServerFault,
    Unavailable,
    Unreachable,
)
from .events import Event, Stream
from .models import ExecutionStatus, OpenLLMRequest, PoolStatus, ProjectInfo
from .replies import Result

if TYPE_CHECKING:
    from .aio import AsyncAirlock
    from .sync import Airlock
else:

    def __getattr__(name: str) -> object:
        """Import httpx only for those who connect: the server takes nothing from here but models and errors."""
        home = {"Airlock": "sync", "AsyncAirlock": "aio"}.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{home}", __name__), name)


__all__ = [
    "AccessDenied",
    "Airlock",
    "AsyncAirlock",
    "ClientError",
    "Conflict",
    "Event",
    "ExecutionStatus",
    "InvalidRequest",
    "LLMError",
    "NotAirlock",
    "NotFound",
    "OpenLLMRequest",
    "PoolStatus",
    "ProblemError",
    "ProjectInfo",
    "QuotaExceeded",
    "Result",
    "ServerFault",
    "Stream",
    "Unavailable",
    "Unreachable",
]
