"""The only orchestrator: all projects, live executions, clients and quotas, and recovery after a crash.

HTTP and the command line call it. It must know neither HTTP nor what happens inside a sandbox.
"""

from .gateway import Gateway
from .keys import KeyRing, new_key, sha256
from .scoped import ScopedGateway

__all__ = [
    "Gateway",
    "KeyRing",
    "ScopedGateway",
    "new_key",
    "sha256",
]
