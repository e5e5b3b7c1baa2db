"""The log: one line per event, how lines look, and a handler that never waits.

`config`, `running`, `gateway`, `http` and `cli` log events with it; the other rooms use `logging`. The log must know
nothing of what it writes about.
"""

from .formats import Format, configure, is_json
from .lines import REQUEST_ID, event_logger, log_event

__all__ = [
    "REQUEST_ID",
    "Format",
    "configure",
    "event_logger",
    "is_json",
    "log_event",
]
