"""The first process of a container: it forks the script's process, and carries bytes between that and the server.

A container has three streams, and an execution needs four: so stdout of the container carries records, which are frames
(`airlock.worker.codec`) of the kinds below. What the server writes goes to the script's frame socket as it is. stderr
of the container is for our own last words.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, NoReturn

from airlock.worker import codec, one_script, prefix, sizes, syscalls

from . import script_process

if TYPE_CHECKING:
    from .config import Config

# container -> server
FRAMES = ord("f")  # bytes that the script's process wrote to its frame socket
STDOUT = ord("o")
STDERR = ord("e")
EXITED = ord("x")  # the script's process is gone; its exit code, negative: by that signal
EXIT_CODE = struct.Struct("<i")

READ_SIZE = 64 << 10
HOLD = 2.0  # seconds that the server gets
REST_SIZE = 4 << 20  # bytes of each stream that are still read when the script is gone: something may go on writing


def main(config: Config, bpf: bytes) -> NoReturn:
    """Be pid 1. Nothing inside can kill, read or write it; when it ends, everything in the container does."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # scripts have our uid
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the kernel keeps from pid 1
    show_sizes(config)
    ours, theirs = socket.socketpair()
    stdout, stdout_theirs = os.pipe()
    stderr, stderr_theirs = os.pipe()
    script = os.fork()
    if script == 0:
        script_process.be_script(config, bpf, theirs.fileno(), stdout_theirs, stderr_theirs)
    theirs.close()
    os.close(stdout_theirs)
    os.close(stderr_theirs)
    Supervisor(script, ours, {stdout: STDOUT, stderr: STDERR}).serve()


def show_sizes(config: Config) -> None:
    """Fill /sys, which is ours and else empty."""
    memory, processes, cpus, cores = config["memory"], config["processes"], config["cpus"], config["cores"]
    prefix.put(sizes.files(memory=memory, processes=processes, cpus=cpus, cores=cores), {})


class Supervisor:
    """What pid 1 does while the script's process lives."""

    def __init__(self, script: int, frames: socket.socket, outputs: dict[int, int]) -> None:
        self._script = script
        self._frames = frames
        self._outputs = outputs
        self._unsent = bytearray()  # what the script's process has not read yet
        self._is_deaf = False  # it closed its frame socket
        self._kill_at: float | None = None
        for descriptor in outputs:
            os.set_blocking(descriptor, False)
        frames.setblocking(False)
        self._deaths, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self._events = select.poll()
        for descriptor in (0, self._deaths, frames.fileno(), *outputs):
            self._events.register(descriptor, select.POLLIN)

    def serve(self) -> NoReturn:
        """Go on until the script's process is gone. When the server closes our stdin, everything is killed."""
        self._reap()  # it may have died before we listened
        while True:
            ready = {descriptor for descriptor, _ in self._events.poll(self._patience())}
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_at = None
                kill_others()  # what they wrote is still passed on
            if self._deaths in ready:
                os.read(self._deaths, READ_SIZE)
                self._reap()
            if 0 in ready:
                self._hear_server()
            if self._frames.fileno() in ready:
                self._flush()
                self._pass_frames()
            for descriptor in ready & self._outputs.keys():
                self._pass_output(descriptor, READ_SIZE)

    def _hear_server(self) -> None:
        data = os.read(0, READ_SIZE)
        self._unsent += data
        self._flush()
        if not data:
            self._events.unregister(0)
            self._kill_at = time.monotonic() + one_script.PATIENCE
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._script, one_script.SIGNAL)

    def _patience(self) -> float | None:
        """Return how many milliseconds to wait for the next event."""
        return None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic()) * 1000

    def _flush(self) -> None:
        """Send without waiting: a script that computes reads nothing, and its output must not wait for that."""
        if self._is_deaf:
            self._unsent.clear()
            return
        if self._unsent:
            with contextlib.suppress(OSError):  # full, or nobody is there any more, which `recv` finds out
                del self._unsent[: self._frames.send(self._unsent)]
        self._events.modify(self._frames, select.POLLIN | (select.POLLOUT if self._unsent else 0))

    def _pass_frames(self) -> int:
        """Pass them on behind all output that was written before them. Returns how many bytes; 0: there is no more."""
        if self._is_deaf:
            return 0
        try:
            data = self._frames.recv(READ_SIZE)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        for descriptor in self._outputs:
            self._pass_output(descriptor, REST_SIZE)
        if data:
            tell(FRAMES, data)
        else:
            self._events.unregister(self._frames)
            self._is_deaf = True
        return len(data)

    def _pass_output(self, descriptor: int, most: int) -> None:
        while most > 0:
            try:
                data = os.read(descriptor, min(most, READ_SIZE))
            except BlockingIOError:
                return
            if not data:
                with contextlib.suppress(KeyError):
                    self._events.unregister(descriptor)
                return
            tell(self._outputs[descriptor], data)
            most -= len(data)

    def _reap(self) -> None:
        """Bury the dead, as pid 1 has to; with the script's process all ends."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._script:
                    rest = REST_SIZE
                    while rest > 0 and (passed := self._pass_frames()):
                        rest -= passed
                    for descriptor in self._outputs:
                        self._pass_output(descriptor, REST_SIZE)
                    tell(EXITED, EXIT_CODE.pack(os.waitstatus_to_exitcode(status)))
                    kill_others()
                    self._hold()
                    os._exit(0)

    def _hold(self) -> None:
        """Keep the container, until the server closes our stdin: it now reads the counters of its control groups."""
        while select.select([0], [], [], HOLD)[0] and os.read(0, READ_SIZE):
            pass  # what it sends now is for nobody


def kill_others() -> None:
    """Kill all but us."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def tell(kind: int, data: bytes) -> None:
    """Send one record. Waits for the server, which always reads."""
    view = memoryview(codec.frame(kind, data))
    while view:
        view = view[os.write(1, view) :]
