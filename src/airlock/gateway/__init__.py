"""The only orchestrator: all projects, all live executions, clients, quotas, and recovery after a crash.

HTTP and the command line call it. It knows nothing of HTTP, and nothing of what happens inside a sandbox.
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
