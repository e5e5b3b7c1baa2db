"""Forks standbys for the server, and tells it how their scripts' processes ended.

The server sends one message per standby: "uid network", both counted from the zygote's own, and
[frames, stdout, stderr, cgroup...]. There is no answer here: the standby itself says READY on its frame socket, with a
pidfd of its init, and we say EXIT there.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import codec, syscalls

from . import standby

if TYPE_CHECKING:
    from .layers import Confinement
    from .maker import Init, Maker

MAX_DESCRIPTORS = 8


class Keeper:
    """What the zygote does once it is warm."""

    def __init__(self, control: socket.socket, confinement: Confinement, maker: Maker) -> None:
        self._control = control
        self._confinement = confinement
        self._maker = maker
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._networks: dict[int, int] = {}
        self._scripts: dict[int, tuple[int, Init, int]] = {}  # by pidfd: pid, init, frames
        self._events = select.epoll()
        self._events.register(control, select.EPOLLIN)

    def serve(self) -> NoReturn:
        """Go on until the server is gone."""
        while True:
            for descriptor, _ in self._events.poll():
                if descriptor == self._control.fileno():
                    self._make()
                else:
                    self._end(descriptor)

    def _make(self) -> None:
        message, ancillary, _, _ = self._control.recvmsg(32, socket.CMSG_SPACE(MAX_DESCRIPTORS * 4))
        if not message:
            os._exit(0)  # the server is gone: so are we, and with us every script
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) // 4 * 4])
        uid_offset, network = map(int, message.split())
        frames, stdout, stderr, *cgroups = descriptors
        self._confinement.frames = frames
        self._confinement.cgroups = tuple(cgroups)
        self._confinement.uid_offset = uid_offset
        try:
            self._confinement.network = self._network(network)
            self._fork(stdout, stderr)
        except OSError as error:
            standby.report_failure(frames, "fork", error)
            os.close(frames)
        for descriptor in descriptors[1:]:
            os.close(descriptor)

    def _fork(self, stdout: int, stderr: int) -> None:
        init = self._maker.make_init()
        try:
            syscalls.setns(init.namespace, syscalls.NEWPID)  # for the next child, not for us
            try:
                pid = os.fork()  # with Python's hooks: `random` is seeded anew, locks are fresh
                if pid == 0:
                    standby.be_script(self._confinement, stdout, stderr)
            finally:
                syscalls.setns(self._home, syscalls.NEWPID)
            script = os.pidfd_open(pid)
        except OSError:
            init.end()
            raise
        self._scripts[script] = pid, init, self._confinement.frames
        self._events.register(script, select.EPOLLIN)

    def _end(self, script: int) -> None:
        """Report the end of a script's own process, and end all that is left beside it."""
        pid, init, frames = self._scripts.pop(script)
        self._events.unregister(script)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL or not init.is_dead():  # otherwise it is no doing of the script
            tell(frames, code)
        os.close(frames)
        init.end()
        os.close(script)

    def _network(self, number: int) -> int:
        """Return an empty network namespace; they are used again, as to make and unmake one is dear."""
        if number not in self._networks:
            self._networks[number] = self._maker.make_network()
        return self._networks[number]


def tell(frames: int, code: int) -> None:
    """Send EXIT. Plain and without waiting: each page that we touch is copied for the next fork, and scripts are slow
    readers.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, frames)
    # The server may have let go; or the script filled the socket, and then there is no code, only the end.
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        sock.send(codec.frame(codec.EXIT, b'{"code": %d}' % code), socket.MSG_DONTWAIT)
    sock.detach()
