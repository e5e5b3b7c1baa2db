"""Forks standbys for the server, and tells it how their scripts' processes ended.

The server sends one message per standby: "number uid network", the last two counted from the zygote's own, and
[frames, stdout, stderr, cgroup...]. On the frame socket we hand over a pidfd of its init, then the standby itself says
READY there. When its process is gone we answer "number code", which the script has no hold of; without a code if that
was no doing of it. "number" alone asks the script where it is, before it is killed (`airlock.worker.one_script`).
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import one_script, syscalls

from . import standby

if TYPE_CHECKING:
    from .layers import Confinement
    from .maker import Init, Maker
    from .networks import Network, Networks
    from .title import Title

MAX_DESCRIPTORS = 8


class Keeper:
    """What the zygote does once it is warm."""

    def __init__(
        self, control: socket.socket, confinement: Confinement, maker: Maker, networks: Networks, title: Title
    ) -> None:
        self._control = control
        self._confinement = confinement
        self._maker = maker
        self._networks = networks
        self._title = title
        self._home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._scripts: dict[int, tuple[int, int, Init]] = {}  # by pidfd: number, pid, init
        self._events = select.epoll()
        self._events.register(control, select.EPOLLIN)
        self._events.register(maker.pidfd, select.EPOLLIN)
        self._events.register(networks.listener, select.EPOLLIN)

    def serve(self) -> NoReturn:
        """Go on until the server is gone."""
        while True:
            for descriptor, _ in self._events.poll(self._networks.patience(self._events)):
                if descriptor == self._control.fileno():
                    self._make()
                elif descriptor == self._networks.listener:
                    self._networks.answer(self._events)
                elif descriptor == self._maker.pidfd:
                    os.write(2, b"the process that makes inits and networks died\n")
                    os._exit(1)
                else:
                    self._end(descriptor)

    def _make(self) -> None:
        message, ancillary, flags, _ = self._control.recvmsg(32, socket.CMSG_SPACE(MAX_DESCRIPTORS * 4))
        if not message:
            os._exit(0)  # the server is gone: so are we, and with us every script
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data[: len(data) // 4 * 4])
        if flags & socket.MSG_CTRUNC:  # we may hold no more: the server hears that nobody holds the other ends
            for descriptor in descriptors:
                os.close(descriptor)
            return
        number, *whom = map(int, message.split())
        if not whom:
            self._ask_for_place(number)
            return
        uid_offset, network = whom
        frames, stdout, stderr, *cgroups = descriptors
        self._confinement.frames = frames
        self._confinement.cgroups = tuple(cgroups)
        self._confinement.uid_offset = uid_offset
        try:
            self._fork(number, self._networks.take(network), frames, stdout, stderr)
        except OSError as error:
            standby.report_failure(frames, "fork", error)
        for descriptor in descriptors:
            os.close(descriptor)

    def _fork(self, number: int, network: Network, frames: int, stdout: int, stderr: int) -> None:
        self._confinement.network = network.descriptor
        init = self._maker.make_init()
        pid = 0
        try:
            init.hand_over(frames)
            syscalls.setns(init.namespace, syscalls.NEWPID)  # for the next child, not for us
            try:
                pid = os.fork()  # with Python's hooks: `random` is seeded anew, locks are fresh
                if pid == 0:
                    self._title.show_script()
                    standby.be_script(self._confinement, stdout, stderr)
            finally:
                syscalls.setns(self._home, syscalls.NEWPID)
            script = self._watch(pid)
        except OSError:
            init.end()
            if pid:
                os.waitpid(pid, 0)
            raise
        self._scripts[script] = number, pid, init
        network.script = pid

    def _ask_for_place(self, number: int) -> None:
        for script, (its_number, *_) in self._scripts.items():
            if its_number == number:
                with contextlib.suppress(OSError):  # nothing depends on it: it is killed in a moment
                    signal.pidfd_send_signal(script, one_script.SIGNAL)

    def _watch(self, pid: int) -> int:
        """Return a pidfd of it, which wakes us when it ends. Raises OSError."""
        script = os.pidfd_open(pid)
        try:
            self._events.register(script, select.EPOLLIN)
        except OSError:
            os.close(script)
            raise
        return script

    def _end(self, script: int) -> None:
        """Report the end of a script's own process, and end all that is left beside it."""
        number, pid, init = self._scripts.pop(script)
        self._events.unregister(script)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        is_own_doing = code != -signal.SIGKILL or not init.is_dead()
        init.end()
        os.close(script)
        try:
            self._control.send(b"%d %d" % (number, code) if is_own_doing else b"%d" % number)
        except BrokenPipeError:
            os._exit(0)  # the server is gone
