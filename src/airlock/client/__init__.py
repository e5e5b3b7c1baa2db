"""What agents and other REST clients talk to Airlock with; needs no server at import.

Clients: `Airlock`, and for asyncio and trio `AsyncAirlock`.
What they return: `Result`, `ExecutionStatus`, `Event`, `ProjectInfo`, `PoolStatus`, `OpenLLMRequest`.
What they raise: `ClientError`, with the tree drawn in errors.py. `LLMError` is what an `llm` callable may raise.
"""

from airlock.errors import LLMError
from airlock.models import ExecutionStatus, OpenLLMRequest, PoolStatus, ProjectInfo

from .aio import AsyncAirlock
from .errors import (
    AccessDenied,
    ClientError,
    Conflict,
    InvalidRequest,
    NotAirlock,
    NotFound,
    ProblemError,
    QuotaExceeded,
    ServerFault,
    Unavailable,
    Unreachable,
)
from .events import Event
from .sync import Airlock
from .wire import Result

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
    "Unavailable",
    "Unreachable",
]
