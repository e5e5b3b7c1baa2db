"""One execution while it is live: its record, clock, slot, output, LLM requests, and its end.

The gateway starts runs; HTTP and the command line follow their events. A run is given limits, settings, secrets and a
redactor: it must know neither airlock.yaml nor the other executions of the server.
"""

from .event_id import EventId
from .events import Event, EventStream, StoredExecution
from .questions import news
from .run import LiveExecution
from .slots import Slots

__all__ = [
    "Event",
    "EventId",
    "EventStream",
    "LiveExecution",
    "Slots",
    "StoredExecution",
    "news",
]
