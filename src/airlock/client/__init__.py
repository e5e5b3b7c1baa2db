"""What agents and other REST clients talk to Airlock with: the names of `airlock_client`, for those who have core.

It may be used by the command line, and knows no other room.
"""

from airlock_client import *  # noqa: F403 - just what `__all__` names
from airlock_client import __all__ as __all__
