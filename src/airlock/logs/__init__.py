"""The log: a line for each event, how it looks, and a handler that never waits.

Every room may write lines. It must know nothing of what it writes about.
"""

from .formats import Format
from .telling import REQUEST_ID, tell

__all__ = [
    "REQUEST_ID",
    "Format",
    "tell",
]
