"""The process that becomes the script. It stands ready, confined, before there is one."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import site
import socket
from typing import TYPE_CHECKING, Callable, NoReturn

from airlock.worker import codec, layers, one_script, prefix, sizes, streams, syscalls, warm
from airlock.worker.reached import Reached
from airlock.worker.reseed import Reseeding

if TYPE_CHECKING:
    from .config import Config

# The container itself is the rest: namespaces, mounts, cgroups, no capabilities.
LAYERS: tuple[Callable[[Confinement], None], ...] = (
    layers.only_own_descriptors,
    layers.own_session,
    layers.resource_limits,
    layers.no_new_privileges,
    layers.landlock,
    layers.system_call_filter,
)


SCRATCH = ("/tmp", "/dev/shm", layers.WORKSPACE)


class Confinement:
    """What the layers need to know."""

    def __init__(self, config: Config, bpf: bytes, frames: int) -> None:
        self.frames = frames
        self.filter = syscalls.Filter(bpf)
        self.landlock_version = syscalls.landlock_version()
        self.resource_limits = {resource.RLIMIT_NOFILE: config["files"], resource.RLIMIT_FSIZE: config["file_size"]}
        # Elsewhere the cgroup counts: a kernel that others share adds up what has one uid, and uids are used in turn.
        if config["counts_processes_by_user"]:
            self.resource_limits[resource.RLIMIT_NPROC] = config["processes"] + 1  # the supervisor is ours too


def be_script(config: Config, bpf: bytes, frames: int, stdout: int, stderr: int) -> NoReturn:
    """Pid 2: import, confine, say READY, wait for the job. All but the last part happens ahead of need."""
    step = "output"
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # otherwise /proc/self belongs to root
        with contextlib.suppress(OSError):  # gVisor has none
            be_the_first_to_go()
        os.chdir(layers.WORKSPACE)
        step = "preload"
        prefix.enter(config["prefix"])
        be_a_plain_interpreter()
        sizes.show_cores(config["cores"])
        warm.preload(config["preload"])
        clear_scratch()
        reseeding = Reseeding(config["preload_reseed"])
        step = "confinement"
        confinement = Confinement(config, bpf, frames)
        reached = Reached(config["reached"], config["processes"])
        signal.signal(signal.SIGXFSZ, reached.file_size)
        one_script.tell_on_signal()
        warm.prime()
        for layer in LAYERS:
            step = layer.__name__
            layer(confinement)
            if step == "only_own_descriptors":
                frames = layers.FRAMES
        step = "preload"
        reseeding.run()
        step = "warm-up"
        channel = codec.Channel(socket.socket(fileno=frames))
        one_script.warm_up(channel, reached)
        channel.send(codec.READY, {"landlock": confinement.landlock_version})
    except BaseException as error:  # noqa: BLE001 - nothing of a script ran yet; the server explains it
        module = getattr(error, "module", None)  # of CannotPreload
        body = {"failed": step, "module": module, "message": str(error) or type(error).__name__}
        os.write(frames, codec.frame(codec.READY, json.dumps(body).encode()))
        os._exit(1)
    one_script.wait_and_run(channel, reached, config["cores"])


def be_the_first_to_go() -> None:
    """When memory is short, the kernel kills a script before the supervisor, which then can say so."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(descriptor, b"1000")
    finally:
        os.close(descriptor)


def clear_scratch() -> None:
    """Remove what modules wrote while they were imported, such as a cache in HOME: a script begins with nothing."""
    for folder in SCRATCH:
        for entry in [*os.scandir(folder)]:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def be_a_plain_interpreter() -> None:
    """Find packages behind the standard library, and have streams of one's own."""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder:
            site.addsitedir(folder)
    streams.open_standard_streams()
