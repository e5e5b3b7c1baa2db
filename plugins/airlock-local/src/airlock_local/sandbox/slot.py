"""The process that the layers confine: it becomes a script, or the template of a slot, which forks one after the other.

A template is in the box's pid namespace, where no script can see it; its scripts are born in the slot's own.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import select
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import codec, main_module, syscalls
from airlock.worker.layers import FRAMES, WORKSPACE, own_session

from . import standby
from .pristine import Pristine
from .title import SCRIPT, SLOT

if TYPE_CHECKING:
    from .layers import Confinement
    from .title import Title

FIRST_PID = 3  # of a script; 1 is the init, 2 was the process that mounted /proc
UNFIT = 120  # exit code of a process that does not become a script
SOCKETS = FRAMES + 1  # the descriptor that the layers have kept


def be_slot(box: Confinement, title: Title) -> NoReturn:
    """Put on all layers, say READY to the server, which is at the other end of `box.frames`, and serve it."""
    step = "output"
    title.show_fork(SCRIPT if box.pids < 0 else SLOT)
    sock = socket.socket(fileno=os.dup(box.frames))
    try:
        for layer in box.layers:
            step = layer.__name__
            layer(box)
            if step == "only_own_descriptors":
                sock.detach()
                sock = socket.socket(fileno=FRAMES)
        os.chdir(WORKSPACE)
        step = "preload"
        ready = codec.encode(codec.READY, None)
        if box.pids < 0:
            standby.stand_by(box, sock, ready)
        template = Template(box, sock, title)
        sock.send(ready)
    except BaseException as error:  # noqa: BLE001 - nothing of a script ran yet; the server explains it
        standby.report_failure(sock, step, error)
        os._exit(1)
    try:
        template.serve()
    finally:
        os._exit(1)


class Template:
    """Forks one script after the other, as long as each has left nothing.

    Each one looks whether those before it left anything (`pristine`), tells the server itself that it is "free", and
    takes its descriptors from it: until then, no code of a script runs there. When its process is gone, the template
    says "end CODE", without a code if that was no doing of the script.
    """

    def __init__(self, box: Confinement, sock: socket.socket, title: Title) -> None:
        self._box = box
        self._sock = sock
        self._title = title
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        # SIGTERM may reach every process of a service, and is for scripts.
        self._signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - {signal.SIGCHLD})
        self._most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        resource.setrlimit(resource.RLIMIT_NPROC, (2, self._most))  # us and one script, or its fork fails
        self._script = main_module.reserve()
        self._pristine = Pristine(self._script, SOCKETS)

    def serve(self) -> NoReturn:
        """Go on until the server is gone, or a script has left something."""
        if self._box.library is not None:
            self._serve_in_c(self._box.library)
        for number in itertools.count():
            child = os.fork()  # with Python's hooks: `random` is seeded anew, locks are fresh
            if child == 0:
                self._compare_and_be_script(number)
            code = self._wait(child)
            if code == -signal.SIGKILL and _init_is_dead():
                self._sock.send(b"end")
                break
            self._sock.send(b"end %d" % code)
            if code == UNFIT:
                break
        os._exit(0)

    def _serve_in_c(self, library: ctypes.PyDLL) -> NoReturn:
        """Do the same with `template.c`."""
        script = self._script.encode()
        if library.remember(script):
            os._exit(1)
        ctypes.pythonapi.PyOS_BeforeFork()
        library.serve(script, FRAMES, SOCKETS, FIRST_PID, UNFIT)
        ctypes.pythonapi.PyOS_AfterFork_Child()
        self._be_script()

    def _wait(self, child: int) -> int:
        """Return its exit code. If the server is gone before, end both."""
        descriptor = os.pidfd_open(child)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._sock, 0)
        gone = descriptor not in dict(poll.poll())
        os.close(descriptor)
        if gone:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if gone:
            os._exit(0)
        return os.waitstatus_to_exitcode(status)

    def _compare_and_be_script(self, number: int) -> NoReturn:
        code = 1
        try:
            if os.getpid() != FIRST_PID + number or not self._pristine.is_restored(number + 1):
                code = UNFIT
            else:
                self._be_script()
        except OSError:  # a folder that nobody may look into any more, say
            code = UNFIT
        finally:
            os._exit(code)

    def _be_script(self) -> NoReturn:
        try:
            self._title.show_fork(SCRIPT)
            resource.setrlimit(resource.RLIMIT_NPROC, (self._most, self._most))
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
            own_session(self._box)
            self._box.kept = []
            signal.pthread_sigmask(signal.SIG_SETMASK, self._signals)
            standby.stand_by(self._box, self._sock, b"free")
        finally:
            os._exit(1)


def _init_is_dead() -> bool:
    try:
        with open("/proc/1/statm", "rb") as file:
            return file.read(2) == b"0 "
    except (FileNotFoundError, ProcessLookupError):
        return True
