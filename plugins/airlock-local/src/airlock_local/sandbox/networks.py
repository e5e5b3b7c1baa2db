"""The network namespaces of a box. One in which an internet socket was made is not used again.

The others are, as to make and unmake one is dear. Nothing in a network tells afterwards that there was such a socket,
and some of what one leaves is seen by the next: counters, labels, connections that are remembered for a minute. But
before the kernel makes one, it asks whoever holds the listener of the filter that the zygote loaded, and that every
script inherits: see seccomp_unotify(2). What the filter looks at is in registers, where nobody can change it meanwhile.
Scripts without such sockets pay nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import select
import struct
import time
from typing import TYPE_CHECKING

from airlock.worker import syscalls
from airlock.worker.reached import OFFLINE

if TYPE_CHECKING:
    from .maker import Maker

RECEIVE, SEND = 0xC050_2100, 0xC018_2101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
REQUEST, REQUEST_SIZE = struct.Struct("=QIIi"), 80  # id, pid, flags, number of the call; then what it is called with
SOCKET = {"x86_64": 41, "aarch64": 198}.get(os.uname().machine, -1)
ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE: the call does what it would without a filter
# No script is charged for the time that we need to answer. After so many answers we rest for so many seconds: scripts
# that ask all the time then cost about a tenth of a core.
BURST, REST = 100, 0.01


class Network:
    """One of them, that one execution has, or had."""

    def __init__(self, descriptor: int, inode: int) -> None:
        self.descriptor = descriptor
        self.inode = inode  # of its `sockstat` in /proc, by which a process in it is known
        self.process = 0  # pid of the slot's process: the script's own,
        self.has_template = False  # or the template of it
        self.is_used = False  # whether an internet socket was made in it
        self.allowance = 0  # how many more may be, before they are counted again


class Networks:
    """All that executions have or had, by the numbers that the server gives them."""

    def __init__(self, maker: Maker, listener: int, most: int) -> None:
        """`most` is how many sockets there may be in one network, give or take one for each of its processes."""
        self.listener = listener
        self._maker = maker
        self._most = most
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._by_number: dict[int, Network] = {}
        self._by_inode: dict[int, Network] = {}
        self._answers = 0
        self._rest_until = 0.0

    def take(self, number: int) -> Network:
        """Return one in which nothing is, for an execution that nobody else has the number of. Raises OSError."""
        network = self._by_number.get(number)
        if network is not None and (network.is_used or not self._is_empty(network)):
            del self._by_number[number], self._by_inode[network.inode]
            os.close(network.descriptor)
            network = None
        if network is None:
            network = Network(*self._maker.make_network())
            self._by_number[number] = self._by_inode[network.inode] = network
        return network

    def patience(self, events: select.epoll) -> float | None:
        """Return for how many more seconds we rest, or None. At the end of a rest, listen again."""
        if self._answers < BURST:
            return None
        left = self._rest_until - time.monotonic()
        if left > 0:
            return left
        events.register(self.listener, select.EPOLLIN)
        self._answers = 0
        return None

    def answer(self, events: select.epoll) -> None:
        """Let the call that has waited longest make its socket, or refuse that."""
        self._answers += 1
        if self._answers == BURST:
            events.unregister(self.listener)
            self._rest_until = time.monotonic() + REST
        request = bytearray(REQUEST_SIZE)
        with contextlib.suppress(FileNotFoundError):  # who called was killed, and never makes it
            fcntl.ioctl(self.listener, RECEIVE, request)
            call, pid, _, number = REQUEST.unpack_from(request)
            try:
                error = self._judge(pid, is_socket=number == SOCKET)
            except OSError as failure:
                error = failure.errno or errno.EIO
            fcntl.ioctl(self.listener, SEND, ANSWER.pack(call, 0, -error, 0 if error else CONTINUE))

    def _judge(self, pid: int, *, is_socket: bool) -> int:
        """Return 0 if this process may do what it asks for, or else an errno. Raises OSError."""
        # Not /proc/PID/ns/net, which a process can keep us from reading (PR_SET_DUMPABLE).
        network = self._by_inode.get(os.stat(f"{pid}/net/sockstat", dir_fd=self._proc).st_ino)
        if network is None:  # one that is nobody's
            return errno.EPERM
        self._note_use(network)
        if not is_socket:
            return 0
        if not network.allowance:
            # Those count as well that nobody holds any more. A call makes one of two sockets that are connected.
            network.allowance = max(0, self._most - self._sockets(pid)) // 2
            if not network.allowance:
                return errno.EMFILE
        network.allowance -= 1
        return 0

    def _note_use(self, network: Network) -> None:
        """Tell the template, which has to know, and the script. Raises OSError."""
        if network.is_used:
            return
        hard = resource.getrlimit(OFFLINE)[1]
        scripts = [network.process]
        if network.has_template:
            resource.prlimit(network.process, OFFLINE, (hard, hard))
            children = os.open(f"{network.process}/task/{network.process}/children", os.O_RDONLY, dir_fd=self._proc)
            with os.fdopen(children, "rb") as file:
                scripts = [*map(int, file.read().split())]
        network.is_used = True
        for script in scripts:
            with contextlib.suppress(OSError, ValueError):  # it is gone, or does not want to know
                resource.prlimit(script, OFFLINE, (hard, hard))

    def _is_empty(self, network: Network) -> bool:
        """Tell whether no socket is left there: one that was in flight lives on for a moment."""
        syscalls.setns(network.descriptor, syscalls.NEWNET)
        try:
            return self._sockets("self") == 0
        finally:
            syscalls.setns(self._home, syscalls.NEWNET)

    def _sockets(self, process: int | str) -> int:
        """Return how many there are in the network of a process."""
        descriptor = os.open(f"{process}/net/sockstat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return int(os.read(descriptor, 64).split()[2])  # sockets: used 5
        finally:
            os.close(descriptor)
