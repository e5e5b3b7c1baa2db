"""The client with which agents and other programs use Airlock's REST API.

Clients: `Airlock`, and `AsyncAirlock` for asyncio and trio.
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
        """Import httpx only when a client is used: the server needs only models and errors from here."""
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
