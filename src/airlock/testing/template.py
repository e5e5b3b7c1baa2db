"""The program behind `.processes`: it loads a server's modules, and forks a server for each request.

Its arguments are the modules. A request arrives on stdin, a socket: JSON, with three standard streams and a pipe. The
reply is the server's process id, with a handle of it (a pidfd); the pipe gets the exit code. When the socket is closed,
it kills its servers and ends. It never starts a thread, as a fork copies only the calling thread.
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

MOST: Final = 1 << 18  # bytes of a request, which holds an environment
STREAMS: Final = 3


class Request(TypedDict):
    """What to start a server with."""

    arguments: list[str]
    directory: str
    environ: dict[str, str]


def serve_requests(control: socket.socket) -> Request:
    """Fork for each request; returns the request in the new process, which has only its standard streams open."""
    reports: dict[int, tuple[int, int]] = {}  # by pidfd: the process, and the pipe for its exit code
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
                        signal.pidfd_send_signal(handle, signal.SIGKILL)  # not reaped yet, so it is still that process
                    sys.exit()
                *streams, report = received
                if (pid := os.fork()) == 0:
                    events.close()
                    control.detach()
                    _stand_alone(streams)
                    return json.loads(message)  # type: ignore[no-any-return] # .processes wrote it
                for stream in streams:
                    os.close(stream)
                handle = os.pidfd_open(pid)
                reports[handle] = pid, report
                events.register(handle, selectors.EVENT_READ)
                socket.send_fds(control, [str(pid).encode()], [handle])


def _report(handle: int, pid: int, report: int) -> None:
    """Reap a process that has ended, and report its exit code, or minus the signal that killed it."""
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    with contextlib.suppress(BrokenPipeError):  # not wanted any more
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(report)


def _stand_alone(streams: list[int]) -> None:
    """Become like a new process: in a session of its own, with only these streams open."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(STREAMS, os.sysconf("SC_OPEN_MAX"))


def become(request: Request) -> None:
    """Take on the folder, environment and arguments of `python -m airlock`."""
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environ"])
    path = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [request["directory"], *filter(None, path.split(os.pathsep))]
    importlib.invalidate_caches()
    sys.argv = ["airlock", *request["arguments"]]


def reset_signals() -> None:
    """Reset inherited handlers: background jobs of a shell ignore SIGINT, and `nohup` ignores SIGHUP."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    del sys.path[0]  # this folder
    if os.fork():
        os._exit(0)  # so that the test's process has no additional child
    reset_signals()
    for name in sys.argv[1:]:
        with contextlib.suppress(Exception):  # servers report a broken plugin
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forks share the memory of objects that are not collected
    become(serve_requests(socket.socket(fileno=0)))
    runpy.run_module("airlock", run_name="__main__", alter_sys=True)
