"""The warm process of a box: imports what scripts need, then forks standbys. Runs no script and knows no secret."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import site
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from airlock.worker import codec, reached, script, syscalls

from . import box_root
from .keeper import Keeper
from .layers import Confinement
from .maker import Maker

if TYPE_CHECKING:
    from .config import BoxConfig

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")  # of which each standby has its own
PRIMING = (
    "class A: pass\nprint([x for x in (1, 2.5)], {1: A()})\nset_result({'a': [1, 'x']})",
    "def f():\n    raise ValueError('x')\nf()",
)


class CannotPreload(Exception):
    """Raised when a module of `preload` does not import, or leaves threads behind, which no fork copies."""


def main(control: socket.socket, config: BoxConfig) -> NoReturn:
    """Enter the box, warm up, say so, and serve until the server is gone."""
    try:
        box_root.enter(config)
        maker = Maker()
        be_a_plain_interpreter(config["site"])
        preload(config["preload"])
        confinement = Confinement(config)
    except Exception as error:  # noqa: BLE001 - all of them are the server's to explain
        report(control, {"failed": type(error).__name__, "errno": getattr(error, "errno", None), "message": str(error)})
        os._exit(1)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # scripts have our uid
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, confinement.reached.file_size)
    for _ in range(2):
        prime()
    gc.collect()
    gc.freeze()
    gc.disable()
    namespaces = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
    report(control, {"landlock": confinement.landlock_version, "namespaces": namespaces})
    Keeper(control, confinement, maker).serve()


def report(control: socket.socket, message: dict[str, Any]) -> None:
    """Tell the server how the start went."""
    control.send(json.dumps(message).encode()[:60_000])


def be_a_plain_interpreter(packages: str | None) -> None:
    """Give scripts what `python script.py` gives them; `-I -S` left it out so that nothing is read from the host."""
    if packages is not None:
        site.addsitedir(packages)
    site.setquit()
    site.sethelper()
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = output(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = output(2)  # type: ignore[misc]


def output(descriptor: int) -> Any:
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
