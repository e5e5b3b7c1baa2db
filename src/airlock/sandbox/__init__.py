"""The server's half of a Linux sandbox that runs CPython: for `local`, `docker` and backends of others.

Public. Backends call it; core itself never does. It must know nothing of core but the contract of backends, and the
worker's half in `airlock.worker`.
"""

from .conversation import Conversation, FrameReader
from .pauses import PauseWatch

__all__ = ["Conversation", "FrameReader", "PauseWatch"]
