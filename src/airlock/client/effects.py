"""How one piece of logic drives both clients.

What a client does is written once, as generators ("flows") that do no I/O: they yield what they need, and get it back.
`Airlock` performs that with threads, `AsyncAirlock` with tasks. So a flow reads like straight code, and its `try` and
`except` see what went wrong, an interruption included.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from .events import EventStream
    from .wire import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request; gives the Reply, or raises Unreachable. `is_last_will`: also when all else is interrupted."""

    request: Request
    is_last_will: bool = False


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Give the next Event of a stream, of which a flow has one at most. Raises what `events` of the clients raises."""

    stream: EventStream


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call what the user gave; gives what it returns, awaited if need be."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Perform another flow beside this one, till this one ends. What it raises is raised here as soon as possible.

    Threads cannot be interrupted: `if_it_fails` brings about that the effect that this flow is in ends soon.
    """

    flow: Flow[None]
    if_it_fails: Flow[None]


Effect: TypeAlias = Exchange | NextEvent | Pause | Call | Start
Flow: TypeAlias = Generator[Effect, Any, T]
