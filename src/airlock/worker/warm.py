"""Warms up an interpreter before there is a script: its streams, its imports, and whatever is slower the first time."""

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

# The environment to start an interpreter with.
ENVIRONMENT = {
    "HOME": "/tmp",  # the sandbox's private one
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    # Thread pools per library and core would cost each warm worker memory and processes; scripts can start their own.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class CannotPreload(Exception):
    """Raised when a module of `preload` cannot be imported, or leaves threads behind, which a fork does not copy."""


def open_standard_streams() -> None:
    """Give scripts UTF-8 streams on descriptors 0 to 2, whatever those are at that time."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = _output(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _output(2)  # type: ignore[misc]


def _output(descriptor: int) -> Any:
    """Open a line-buffered stream, so that polls see what a script prints while it runs."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def preload(names: list[str]) -> None:
    """Import modules before an execution needs them. Raises CannotPreload."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            raise CannotPreload(f"{name}: {type(error).__name__}: {error}") from error
        if len(os.listdir("/proc/self/task")) > 1:
            raise CannotPreload(f"{name}: it starts a thread when it is imported, and threads do not survive a fork")


def prime() -> None:
    """Compile, execute, format a traceback, and write and read frames once. Otherwise every child does so for the first
    time, and copies the pages that it touches: 1.5 ms for `print(1)`.
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
