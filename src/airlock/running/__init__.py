"""A live execution: its record, clock, slot, output, LLM requests and end.

The gateway starts runs; HTTP and the command line follow their events. A run gets its limits, settings,
secrets and redactor handed in: it must know neither airlock.yaml nor the server's other executions.
"""

from .events import Event, EventId, EventStream, StoredExecution
from .patience import Patience
from .questions import not_given_before
from .run import LiveRun, Surroundings
from .slots import Slots

__all__ = [
    "Event",
    "EventId",
    "EventStream",
    "LiveRun",
    "Patience",
    "Slots",
    "StoredExecution",
    "Surroundings",
    "not_given_before",
]
