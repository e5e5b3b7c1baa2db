"""Warms up an interpreter before there is a script: its streams, its imports, and whatever is slower the first time."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING

from . import codec, reached, script, sdk

if TYPE_CHECKING:
    from collections.abc import Callable
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
    # The allocators of pyarrow and polars start a thread when they are loaded, which no fork has: see
    # `background_thread` in jemalloc(3).
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
}


MAPS_SHARED = "maps shared memory, in which one script could leave data for the next"
THREAD_PATIENCE = 0.5  # seconds: one that was joined can still be seen for a moment


class CannotPreload(Exception):
    """Raised when a module of `preload` cannot be imported or used in forks, or a function of `preload_reseed` fails.

    The message begins with the key, and names the module or the function. `module` is the one of `preload` without
    which the rest may be fine, in an interpreter that has not tried to import it.
    """

    module: str | None = None


def preload(names: list[str], before: Callable[[str], None] = lambda name: None) -> None:
    """Import modules before an execution needs them; `before` is told of each one that follows. Raises CannotPreload.

    Do not go on then: what the module did is done. Start another interpreter, without that module.
    """
    if _maps_shared_memory():
        raise CannotPreload(f"packages: a .pth file or what it imports {MAPS_SHARED}")
    for name in names:
        before(name)
        try:
            load(name, f"preload: {name}")
        except CannotPreload as error:
            error.module = name
            raise


def load(name: str, place: str) -> ModuleType:
    """Import a module that forks can use. Raises CannotPreload, with `place` before the reason, if there is none."""
    before = open_files()
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        raise CannotPreload(f"{place}: {describe(error)}") from error
    if (fault := left_behind(before)) is not None:
        raise CannotPreload(f"{place}: when it is imported, it {fault}")
    return module


def describe(error: BaseException) -> str:
    """Return the type and the text of an error, in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def left_behind(before: dict[str, str]) -> str | None:
    """Say what an import or a call has left in this process that does not work in forks of it.

    `before` is what was open until then.
    """
    if threads := _threads():
        return f"starts a thread ({', '.join(threads)}), and threads do not survive a fork"
    for descriptor, file in open_files().items():
        if before.get(descriptor) != file:
            return f"keeps {file} open, and scripts do not inherit open files"
    return MAPS_SHARED if _maps_shared_memory() else None


def _threads() -> list[str]:
    """Return the names of all threads beside the main one."""
    give_up = time.monotonic() + THREAD_PATIENCE
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < give_up:
        time.sleep(0.01)
    names = []
    for thread in sorted(os.listdir("/proc/self/task"), key=int):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
            names.append(file.read().strip())
    return names[1:]


def _maps_shared_memory() -> bool:
    """Tell whether memory is mapped that forks share and may write to, now or after an `mprotect`.

    That is the flag `sh`, see proc_pid_smaps(5); `maps` shows only what is allowed at the moment.
    """
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as maps:
        return any(line.startswith("VmFlags:") and "sh" in line.split() for line in maps)


def open_files() -> dict[str, str]:
    """Return what is open, by descriptor."""
    found = {}
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the list itself, which was open while it was made
            found[descriptor] = os.readlink(f"/proc/self/fd/{descriptor}")
    return found


def prime() -> None:
    """Compile, execute, format a traceback, and write and read frames once. Otherwise every child does so for the first
    time, and copies the pages that it touches: 1.5 ms for `print(1)`.

    Have stacks end in the script from now on.
    """
    traceback.walk_stack = script.walk_the_script
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
