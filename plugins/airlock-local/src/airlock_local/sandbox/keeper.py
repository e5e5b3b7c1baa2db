"""Makes slots for the server, and tells it how their processes ended.

The server sends one message per slot: "number uid network reuse", with [socket, cgroup...]. The uid and the network are
counted from the zygote's own; `reuse` is 1 for a template and 0 for one script. On the socket we hand over a pidfd of
the slot's init, then the slot's process itself says READY there (`slot`). When that is gone we answer "number code",
which a script has no hold of; without a code if that was no doing of it. "number" alone asks a script where it is,
before it is killed (`airlock.worker.one_script`).
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

from . import slot, standby

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
        self._slots: dict[int, tuple[int, int, Init, bool]] = {}  # by pidfd: number, pid, init, whether it is reused
        self._orphans: dict[int, int] = {}  # by pidfd: pid
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
                elif descriptor in self._orphans:
                    self._bury(descriptor)
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
        uid_offset, network, reuse = whom
        server, *cgroups = descriptors
        self._confinement.frames = server
        self._confinement.cgroups = tuple(cgroups)
        self._confinement.uid_offset = uid_offset
        with socket.socket(fileno=server) as sock:
            try:
                self._fork(number, self._networks.take(network), sock, reuse=bool(reuse))
            except OSError as error:
                standby.report_failure(sock, "fork", error)
        for descriptor in cgroups:
            os.close(descriptor)

    def _fork(self, number: int, network: Network, sock: socket.socket, *, reuse: bool) -> None:
        self._confinement.network = network.descriptor
        init = self._maker.make_init()
        pid = 0
        try:
            init.hand_over(sock)
            self._confinement.pids = init.namespace if reuse else -1
            if not reuse:
                syscalls.setns(init.namespace, syscalls.NEWPID)  # for the next child, not for us
            try:
                pid = os.fork()  # with Python's hooks: `random` is seeded anew, locks are fresh
                if pid == 0:
                    slot.be_slot(self._confinement, self._title)
            finally:
                if not reuse:
                    syscalls.setns(self._home, syscalls.NEWPID)
            process = self._watch(pid)
        except OSError:
            init.end()
            if pid:
                os.waitpid(pid, 0)
            raise
        self._slots[process] = number, pid, init, reuse
        network.process, network.has_template = pid, reuse

    def _ask_for_place(self, number: int) -> None:
        """Have this slot's script write where it is. Nothing depends on it: it is killed in a moment."""
        for process, (its_number, pid, _, is_template) in self._slots.items():
            if its_number != number:
                continue
            with contextlib.suppress(OSError):
                if not is_template:
                    signal.pidfd_send_signal(process, one_script.SIGNAL)
                    continue
                for script in children(pid):  # one, or none for a moment
                    descriptor = os.pidfd_open(script)
                    if script in children(pid):  # otherwise the number may be another process's by now
                        signal.pidfd_send_signal(descriptor, one_script.SIGNAL)
                    os.close(descriptor)

    def _watch(self, pid: int) -> int:
        """Return a pidfd of it, which wakes us when it ends. Raises OSError."""
        script = os.pidfd_open(pid)
        try:
            self._events.register(script, select.EPOLLIN)
        except OSError:
            os.close(script)
            raise
        return script

    def _end(self, process: int) -> None:
        """Report the end of a slot's process, and end all that is left beside it."""
        number, pid, init, is_template = self._slots.pop(process)
        self._events.unregister(process)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        is_own_doing = code != -signal.SIGKILL or not init.is_dead()
        init.end()
        os.close(process)
        if is_template and code != 0:
            self._adopt()
        try:
            self._control.send(b"%d %d" % (number, code) if is_own_doing else b"%d" % number)
        except BrokenPipeError:
            os._exit(0)  # the server is gone

    def _adopt(self) -> None:
        """Take the scripts whose template was killed: they are our children now, and killed with their init."""
        known = {pid for _, pid, *_ in self._slots.values()} | {*self._orphans.values(), self._maker.pid}
        for pid in children(os.getpid()):
            if pid not in known:
                self._orphans[self._watch(pid)] = pid

    def _bury(self, orphan: int) -> None:
        self._events.unregister(orphan)
        os.close(orphan)
        os.waitpid(self._orphans.pop(orphan), 0)


def children(pid: int) -> list[int]:
    """Return the pids of the children of a process that has one thread. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [*map(int, file.read().split())]
