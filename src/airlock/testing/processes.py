"""Processes that run `python -m airlock`, forked from one that has it loaded, which saves the time for imports."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The modules that a server loads; those of installed plugins are added.
LOADED: Final = (
    *("airlock.cli.serve", "airlock.api"),
    *("uvicorn.lifespan.on", "uvicorn.loops.auto", "uvloop", "encodings.idna"),
)
HANG: Final = 120.0  # seconds; a hang guard


class ServerProcess:
    """A started process, to be used like a `subprocess.Popen`.

    It is not a child of the process that started it, and has only its standard streams open.
    """

    def __init__(self, pid: int, handle: int, report: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = handle
        self._report = report

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that killed the process; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end, and return the exit code. Raises subprocess.TimeoutExpired."""
        if (code := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired("airlock", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; has no effect once the process has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and self._is_told(timeout):
            self.returncode = int(os.read(self._report, 16) or b"-9")  # empty: the template has ended, and killed it
            os.close(self._report)
            os.close(self._handle)
        return self.returncode

    def _is_told(self, timeout: float | None) -> bool:
        reports = select.poll()
        reports.register(self._report, select.POLLIN)
        return bool(reports.poll(None if timeout is None else timeout * 1000))


def start_server(
    arguments: Sequence[str], *, directory: Path, environ: Mapping[str, str], stderr: int
) -> ServerProcess:
    """Start `python -m airlock` with arguments and an environment; `stderr` is a file descriptor.

    Of Python's own variables only PYTHONPATH has an effect. Raises RuntimeError if the process cannot be started.
    """
    return _template().fork(arguments, directory, environ, stderr)


@functools.cache
def _template() -> Template:
    """Return the template of this process."""
    return Template()


class Template:
    """A process that forks servers, and ends with this one."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        atexit.register(self.close)
        plugins = {point.module for point in entry_points(group="airlock")}
        command = [sys.executable, str(Path(__file__).with_name("template.py")), *LOADED, *sorted(plugins)]
        with theirs:
            subprocess.run(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, check=True)

    def fork(self, arguments: Sequence[str], directory: Path, environ: Mapping[str, str], stderr: int) -> ServerProcess:
        """See `start_server`."""
        request = {"arguments": [*arguments], "directory": str(directory.resolve()), "environ": dict(environ)}
        report, theirs = os.pipe()
        try:
            with Path(os.devnull).open("rb") as stdin:
                socket.send_fds(self._control, [json.dumps(request).encode()], [stdin.fileno(), 1, stderr, theirs])
            pid, handles, _, _ = socket.recv_fds(self._control, 16, 1)
            handle = handles[0]
        except (OSError, IndexError):
            os.close(report)
            raise RuntimeError("the process that forks servers has ended; its stderr says why") from None
        finally:
            os.close(theirs)
        return ServerProcess(int(pid), handle, report)

    def close(self) -> None:
        """End the template, and with it all that it has forked."""
        self._control.close()
