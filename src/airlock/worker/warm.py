"""Warms up an interpreter before there is a script: its streams, its imports, and whatever is slower the first time."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
from typing import TYPE_CHECKING

from . import codec, reached, script, sdk

if TYPE_CHECKING:
    from types import ModuleType

PRIMING = (
    "class A: pass\nprint([x for x in (1, 2.5)], {1: A()})\nset_result({'a': [1, 'x']})",
    "def f():\n    raise ValueError('x')\nf()",
)

# The environment to start an interpreter with.
ENVIRONMENT = {
    "HOME": "/tmp",  # the sandbox's private one
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "USER": "sandbox",
    "LOGNAME": "sandbox",
    "SHELL": "/bin/sh",
    # Thread pools per library and core would cost each warm worker memory and processes; scripts can start their own.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


MAPS_SHARED = "maps shared memory when it is imported, in which one script could leave data for the next"


class CannotPreload(Exception):
    """Raised when a module of `preload` cannot be imported or used in forks, or a function of `preload_reseed` fails.

    The message begins with the key, and names the module or the function.
    """


def preload(names: list[str]) -> None:
    """Import modules before an execution needs them. Raises CannotPreload."""
    if _maps_shared_memory():
        raise CannotPreload(f"packages: a .pth file or what it imports {MAPS_SHARED}")
    for name in names:
        load(name, f"preload: {name}")


def load(name: str, place: str) -> ModuleType:
    """Import a module that forks can use. Raises CannotPreload, with `place` before the reason, if there is none."""
    before = _open_files()
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        raise CannotPreload(f"{place}: {type(error).__name__}: {error}") from error
    if (fault := _left_behind(before)) is not None:
        raise CannotPreload(f"{place}: {fault}")
    return module


def _left_behind(before: dict[str, str]) -> str | None:
    """Say what an import left in this process that does not work in forks of it."""
    if len(os.listdir("/proc/self/task")) > 1:
        return "it starts a thread when it is imported, and threads do not survive a fork"
    for descriptor, file in _open_files().items():
        if before.get(descriptor) != file:
            return f"it keeps {file} open when it is imported, and scripts do not inherit open files"
    return f"it {MAPS_SHARED}" if _maps_shared_memory() else None


def _maps_shared_memory() -> bool:
    """Tell whether memory is mapped that forks share and may write to, now or after an `mprotect`.

    That is the flag `sh`, see proc_pid_smaps(5); `maps` shows only what is allowed at the moment.
    """
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as maps:
        return any(line.startswith("VmFlags:") and "sh" in line.split() for line in maps)


def _open_files() -> dict[str, str]:
    """Return what is open, by descriptor."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the list itself, which was open while it was made
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
    return found


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
            theirs.sendall(codec.encode(codec.JOB, {"code": code, **sdk.EMPTY_JOB}))
            _, job = channel.receive()
            channel.send(codec.END, script.run(job, channel, nothing, "<warm-up>"))
            theirs.recv(1 << 16)
    sys.stdout, sys.stderr = stdout, stderr
