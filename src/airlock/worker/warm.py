"""Warms an interpreter up before there is a script: its streams, its imports, and everything's first time."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any

from . import codec, reached, script

PRIMING = (
    "class A: pass\nprint([x for x in (1, 2.5)], {1: A()})\nset_result({'a': [1, 'x']})",
    "def f():\n    raise ValueError('x')\nf()",
)

# What an interpreter is started with.
ENVIRONMENT = {
    "HOME": "/tmp",  # the private one inside
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    # A pool of threads per library and core costs each standby memory, and its limits; what scripts need they start.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class CannotPreload(Exception):
    """Raised when a module of `preload` does not import, or leaves threads behind, which no fork copies."""


def open_standard_streams() -> None:
    """Give scripts UTF-8 streams on descriptors 0 to 2, whatever those are by then."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = _output(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _output(2)  # type: ignore[misc]


def _output(descriptor: int) -> Any:
    """Line-buffered, so that polls see what a script prints while it runs."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def preload(names: list[str]) -> None:
    """Import before an execution needs it. Raises CannotPreload."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            raise CannotPreload(f"{name}: {type(error).__name__}: {error}") from error
        if len(os.listdir("/proc/self/task")) > 1:
            raise CannotPreload(f"{name}: it starts a thread when it is imported, and threads do not survive a fork")


def prime() -> None:
    """Compile, execute, format a traceback, and make and read frames once: otherwise every child pays for the first
    time of each by copy-on-write, 1.5 ms for `print(1)`.
    """
    ours, theirs = socket.socketpair()
    channel = codec.Channel(ours)
    nothing = reached.Reached({}, 0)
    stdout, stderr = sys.stdout, sys.stderr
    with ours, theirs, open(os.devnull, "w", encoding="utf-8") as null:
        sys.stdout = sys.stderr = null
        for code in PRIMING:
            theirs.sendall(codec.encode(codec.JOB, {"code": code, "settings": {}, "memory": {}, "timeout": 1}))
            _, job = channel.receive()
            channel.send(codec.END, {"error": script.run(job, channel, nothing)})
            theirs.recv(1 << 16)
    sys.stdout, sys.stderr = stdout, stderr
