"""Makes the first process of each execution's pid namespace, and networks: in a small process beside the zygote.

Such an init only has to be there, so that all the others die with it. It shares its maker's memory, and sleeps. A fork
of the zygote instead would be the dearest part of an execution: it copies page tables, and then the pages that Python
touches just to wait.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import traceback
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import loopback, syscalls

if TYPE_CHECKING:
    from .title import Title

OURS = 3  # the maker's descriptor of its socket
STACK = 16 << 10  # bytes


class Init:
    """One, seen from the zygote."""

    def __init__(self, pid: int, namespace: int, pidfd: int) -> None:
        self._pid = pid
        self.namespace = namespace  # descriptor of the pid namespace that it is the first process of
        self._pidfd = pidfd

    def is_dead(self) -> bool:
        """Whether somebody killed it: nothing in its namespace can. Dead before its namespace is empty, it stays there
        without memory.
        """
        try:
            descriptor = os.open(f"/proc/{self._pid}/statm", os.O_RDONLY)
            try:
                return os.read(descriptor, 2) == b"0 "
            finally:
                os.close(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            return True

    def hand_over(self, sock: socket.socket) -> None:
        """Give the server its pidfd. Not a slot's task: descriptors in flight count for the whole user, and scripts
        can make them as many as a slot's own limit allows.
        """
        socket.send_fds(sock, [b"\0"], [self._pidfd])

    def end(self) -> None:
        """Kill it, and so all that is left in its namespace."""
        with contextlib.suppress(ProcessLookupError):  # the server was first
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        os.close(self.namespace)


class Maker:
    """The zygote's side. Made before `preload`, which that process need not carry."""

    def __init__(self, title: Title) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                title.show("inits")
                os.dup2(theirs.fileno(), OURS)
                syscalls.close_from(OURS + 1)
                serve(socket.socket(fileno=OURS))
            except BaseException:  # noqa: BLE001 - it must not return into the zygote's code
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)  # readable when it is dead
        self._answers = select.poll()
        self._answers.register(self._socket, select.POLLIN)
        self._answers.register(self.pidfd, select.POLLIN)

    def make_init(self) -> Init:
        """Return another one. Raises OSError, also when the maker is gone."""
        pid, (namespace, pidfd) = self._ask(b"init", 2)
        return Init(pid, namespace, pidfd)

    def make_network(self) -> tuple[int, int]:
        """Return the descriptor of another network namespace, with nothing in it but its loopback, and an inode of it.

        Raises OSError.
        """
        inode, (descriptor,) = self._ask(b"network", 1)
        return descriptor, inode

    def _ask(self, what: bytes, count: int) -> tuple[int, list[int]]:
        self._socket.send(what)
        # Inits hold its end of the socket as well, so its death is no end of file there.
        if self._socket.fileno() not in dict(self._answers.poll()):
            raise OSError(errno.ESRCH, f"no {what.decode()}: the process that makes them is dead")
        message, descriptors, _, _ = socket.recv_fds(self._socket, 16, count)
        if len(descriptors) != count:
            number = int(message or errno.ESRCH)
            raise OSError(number, f"no {what.decode()}: {os.strerror(number)}")
        return int(message), descriptors


def serve(sock: socket.socket) -> NoReturn:
    """Answer each message with what it asks for, or with an errno."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    # What inits inherit: orphans of a script are reaped by the kernel, and no handler ever runs on our memory.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    own = os.open("/proc/self/ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    net = os.open("/proc/self/net", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    home = open_namespace("pid", own)
    syscalls.unshare(syscalls.NEWNET)
    nobodys = open_namespace("net", own)
    # One stack is enough for all: each init leaves the same words there, and never comes back for them.
    stack = ctypes.create_string_buffer(STACK)
    while what := sock.recv(16):
        try:
            number, descriptors = make_network(nobodys, own, net) if what == b"network" else make_init(home, stack, own)
        except OSError as error:
            sock.send(b"%d" % (error.errno or errno.EIO))
            continue
        socket.send_fds(sock, [b"%d" % number], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    os._exit(0)


def make_network(nobodys: int, own: int, net: int) -> tuple[int, list[int]]:
    """Return (inode, [namespace]); all its files in `net`, the directory /proc/self/net, have inodes of their own.

    Inits are made in `nobodys` network: /proc/1/net shows an execution that of its init.
    """
    syscalls.unshare(syscalls.NEWNET)
    try:
        loopback.bring_up()
        return os.stat("sockstat", dir_fd=net).st_ino, [open_namespace("net", own)]
    finally:
        syscalls.setns(nobodys, syscalls.NEWNET)


def make_init(home: int, stack: ctypes.Array[ctypes.c_char], own: int) -> tuple[int, list[int]]:
    """Start an init in a pid namespace of its own; returns (its pid, [namespace, pidfd]).

    Without the namespace: a script sees and signals its neighbours, and what it leaves running outlives it.
    """
    syscalls.unshare(syscalls.NEWPID)  # for the next child, not for us
    try:
        pid = syscalls.clone_sleeper(stack)
        return pid, [open_namespace("pid_for_children", own), os.pidfd_open(pid)]
    finally:
        syscalls.setns(home, syscalls.NEWPID)  # otherwise the next unshare fails


def open_namespace(name: str, own: int) -> int:
    """Open one of our own; `own` is the directory of them, wherever /proc is by now."""
    return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=own)
