"""The warm process of a box: imports what scripts need, then forks standbys. Runs no script and knows no secret."""

from __future__ import annotations

import base64
import ctypes
import gc
import json
import os
import resource
import signal
import site
import time
from typing import TYPE_CHECKING, Any, NoReturn

from airlock.worker import one_script, prefix, sizes, streams, syscalls, warm
from airlock.worker.reached import OFFLINE

from . import box_root
from .keeper import Keeper
from .layers import Confinement
from .maker import Maker
from .networks import Networks
from .title import Title

if TYPE_CHECKING:
    import socket

    from .config import BoxConfig

MAX_MESSAGE = 10_000  # characters
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")  # of which each standby has its own


def main(control: socket.socket, config: BoxConfig) -> NoReturn:
    """Enter the box, warm up, say so, and serve until the server is gone."""
    try:
        library = None if config["library"] is None else ctypes.PyDLL(config["library"])
        title = Title(config["project"])
        title.show("box")
        box_root.enter(config)
        time.tzset()  # Python has read the host's /etc/localtime
        title.show("zygote")
        maker = Maker(title)
        prefix.enter(config["prefix"])
        be_a_plain_interpreter(config["site"])
        sizes.show_cores(config["limits"]["cores"])
        warm.preload(config["preload"], lambda name: report(control, {"importing": name}))
        report(control, {"importing": None})
        confinement = Confinement(config, library)
        box_root.no_scratch()
        resource.setrlimit(OFFLINE, (0, resource.getrlimit(OFFLINE)[1]))
        listener = syscalls.Filter(base64.b64decode(config["socket_bpf"])).load_and_listen()
    except Exception as error:  # noqa: BLE001 - all of them are the server's to explain
        failed = {"failed": type(error).__name__, "module": getattr(error, "module", None)}
        report(control, {**failed, "errno": getattr(error, "errno", None), "message": str(error)[:MAX_MESSAGE]})
        os._exit(1)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # scripts have our uid
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, confinement.reached.file_size)
    one_script.tell_on_signal()
    for _ in range(2):
        warm.prime()
    gc.collect()
    gc.freeze()
    gc.disable()
    namespaces = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
    report(control, {"landlock": confinement.landlock_version, "namespaces": namespaces})
    Keeper(control, confinement, maker, Networks(maker, listener, config["limits"]["files"]), title).serve()


def report(control: socket.socket, message: dict[str, Any]) -> None:
    """Tell the server how the start went."""
    control.send(json.dumps(message).encode())


def be_a_plain_interpreter(packages: str | None) -> None:
    """Give scripts what `python script.py` gives them; `-I -S` left it out so that nothing is read from the host."""
    if packages is not None:
        site.addsitedir(packages)
    site.setquit()
    site.sethelper()
    site.setcopyright()
    streams.open_standard_streams()
