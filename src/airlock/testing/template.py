"""The program behind `.processes`: it has a server's modules loaded, and forks a server for each request.

Its arguments are the modules. A request comes on stdin, a socket: JSON, with three standard streams and a pipe. The
reply is the server's process id, with a handle of it (a pidfd); the pipe gets the exit code. When the socket ends, it
kills its servers and ends. It never has a thread: a fork copies only the one that calls it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from typing import Final, TypedDict

MOST: Final = 1 << 18  # bytes of a request: an environment
STREAMS: Final = 3


class Request(TypedDict):
    """What a server is started with."""

    arguments: list[str]
    directory: str
    environ: dict[str, str]


def serve_requests(control: socket.socket) -> Request:
    """Fork for each request; returns it in the new process, which has nothing open but its standard streams."""
    reports: dict[int, tuple[int, int]] = {}  # by pidfd: the process, and where its exit code goes
    with selectors.DefaultSelector() as events:
        events.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is not control:
                    events.unregister(key.fd)
                    _report(key.fd, *reports.pop(key.fd))
                    continue
                message, received, _, _ = socket.recv_fds(control, MOST, STREAMS + 1)
                if not message:
                    for handle in reports:
                        signal.pidfd_send_signal(handle, signal.SIGKILL)  # not buried yet, so it is still that process
                    sys.exit()
                *streams, report = received
                if (pid := os.fork()) == 0:
                    events.close()
                    control.detach()
                    _stand_alone(streams)
                    return json.loads(message)  # type: ignore[no-any-return] # it is ours
                for stream in streams:
                    os.close(stream)
                handle = os.pidfd_open(pid)
                reports[handle] = pid, report
                events.register(handle, selectors.EVENT_READ)
                socket.send_fds(control, [str(pid).encode()], [handle])


def _report(handle: int, pid: int, report: int) -> None:
    """Bury a process that has ended, and tell its exit code: below 0 the signal that killed it."""
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    with contextlib.suppress(BrokenPipeError):  # nobody asks
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)


def _stand_alone(streams: list[int]) -> None:
    """Be like a new process: of its own session, with these streams and no other file open."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, os.sysconf("SC_OPEN_MAX"))


def become(request: Request) -> None:
    """Take the place, the environment and the arguments of `python -m airlock`."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environ"])
    path = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [request["directory"], *filter(None, path.split(os.pathsep))]
    importlib.invalidate_caches()
    sys.argv = ["airlock", *request["arguments"]]


def reset_signals() -> None:
    """Forget what was inherited: a shell has its background jobs ignore SIGINT, `nohup` SIGHUP."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    del sys.path[0]  # this folder
    if os.fork():
        os._exit(0)  # who asks has no child that it did not ask for
    reset_signals()
    for name in sys.argv[1:]:
        with contextlib.suppress(Exception):  # a plugin that is broken is told by the servers
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork shares what is never looked at again
    become(serve_requests(socket.socket(fileno=0)))
    runpy.run_module("airlock", run_name="__main__", alter_sys=True)
