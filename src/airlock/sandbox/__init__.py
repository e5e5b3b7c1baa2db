"""The server's half of a Linux sandbox that runs CPython: for `local`, `docker` and backends of others.

Public, and this is its only door. Backends call it; core itself never does. Of core it must know only the ground, the
contract of backends and the worker's half, `airlock.worker`.
"""

from airlock.backends import TERMINALS

from .conversation import Conversation
from .counters import Counters
from .frames import FrameReader
from .packages import install_packages
from .preloading import NotPreloaded, Preloading
from .run import SandboxRun
from .seccomp import seccomp_program
from .selftest import self_test
from .sockets import asking_program
from .surroundings import NO_TERMINALS, surroundings
from .watch import Watch

__all__ = [
    "NO_TERMINALS",
    "TERMINALS",
    "Conversation",
    "Counters",
    "FrameReader",
    "NotPreloaded",
    "Preloading",
    "SandboxRun",
    "Watch",
    "asking_program",
    "install_packages",
    "seccomp_program",
    "self_test",
    "surroundings",
]
