"""The process of one script. It stands ready before there is a script."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import codec, one_script
from airlock.worker.layers import FRAMES, WORKSPACE

if TYPE_CHECKING:
    from .layers import Confinement


def be_script(box: Confinement, stdout: int, stderr: int) -> NoReturn:
    """Pid 2, since pid 1 would ignore most signals. All but the last third happens ahead of need.

    Its parent is the zygote, outside its pid namespace. Pid 1 is an init without the script's cgroup and uid.
    """
    step, frames = "output", box.frames
    try:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for layer in box.layers:
            step = layer.__name__
            layer(box)
            if step == "only_own_descriptors":
                frames = FRAMES
        os.chdir(WORKSPACE)
        step = "preload"
        box.reseeding.run()
        step = "warm-up"
        gc.enable()
        sock = socket.socket(fileno=frames)
        channel = codec.Channel(sock)
        box.reached.owner = os.getpid()
        one_script.warm_up(channel, box.reached)
        channel.send(codec.READY, None)
    except BaseException as error:  # noqa: BLE001 - nothing of a script ran yet; the server explains it
        report_failure(frames, step, error)
        os._exit(1)
    one_script.wait_and_run(channel, box.reached, box.limits["cores"])


def report_failure(frames: int, step: str, error: BaseException) -> None:
    """Tell the server why there is no standby, if it still listens."""
    body = {"step": step, "errno": getattr(error, "errno", None), "message": str(error) or type(error).__name__}
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, frames)
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        sock.send(codec.encode(codec.READY, body), socket.MSG_DONTWAIT)
    sock.detach()
