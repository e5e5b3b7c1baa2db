"""A process that becomes one script. It stands ready before there is a script."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import socket
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import codec, one_script
from airlock.worker.layers import FRAMES

from .layers import only_own_descriptors

if TYPE_CHECKING:
    from .layers import Confinement

DESCRIPTORS = 3  # frames, stdout, stderr


def stand_by(box: Confinement, sock: socket.socket, ready: bytes) -> NoReturn:
    """Warm up, say so, wait for [frames, stdout, stderr] from this socket, then for the job, and run it.

    Raises what goes wrong before.
    """
    box.reseeding.run()
    gc.enable()
    channel = codec.Channel(sock)
    box.reached.owner = os.getpid()
    one_script.warm_up(channel, box.reached)
    sock.send(ready)
    try:
        box.frames, stdout, stderr = receive(sock)
    except (OSError, ValueError):  # nobody wants a script any more
        os._exit(0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    sock.detach()
    if only_own_descriptors in box.layers:
        only_own_descriptors(box)
        box.frames = FRAMES
    channel = codec.Channel(socket.socket(fileno=box.frames))
    one_script.wait_and_run(channel, box.reached, box.limits["cores"])


def receive(sock: socket.socket) -> array.array[int]:
    """Return the descriptors of the next message; none when the other end is gone."""
    descriptors = array.array("i")
    _, ancillary, _, _ = sock.recvmsg(16, socket.CMSG_SPACE(DESCRIPTORS * descriptors.itemsize))
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) // 4 * 4])
    return descriptors


def report_failure(sock: socket.socket, step: str, error: BaseException) -> None:
    """Tell the server why there is no slot, if it still listens."""
    body = {"step": step, "errno": getattr(error, "errno", None), "message": str(error) or type(error).__name__}
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        sock.send(codec.encode(codec.READY, body), socket.MSG_DONTWAIT)
