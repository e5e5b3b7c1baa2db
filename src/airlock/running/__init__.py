"""One execution while it is live: its record, clock, slot, output, LLM requests, and its end.

The gateway starts runs; HTTP and the command line follow their events. A run is given limits, settings, secrets and a
redactor: it must know neither airlock.yaml nor the other executions of the server.
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
