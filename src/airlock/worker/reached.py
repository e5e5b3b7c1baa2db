"""Says on stderr which of its limits a script ran into, where all that it gets from the system is an OSError."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = {errno.EMFILE: "files", errno.ENOSPC: "scratch"}
SCRATCH = ("/tmp", "/dev/shm")
CHAIN = 10  # exceptions behind an exception that are looked at


class Reached:
    """Writes one line per limit, and only on evidence: what the kernel says now, or an error that nothing else gives.

    Only for the script's own process: what its children do is theirs. All of it runs among the script's own code, so
    it may be tampered with, which deceives nobody but the script.
    """

    def __init__(self, lines: Mapping[str, str], processes: int) -> None:
        """`lines` are those of the limits that are to be found out here, by their keys."""
        self._lines = dict(lines)
        self._processes = processes
        self.owner = os.getpid()

    def file_size(self, *_: object) -> None:
        """Handle SIGXFSZ, which the kernel sends for no other reason."""
        self._say("file_size")

    def look_at_error(self, error: BaseException | None) -> None:
        """Look at the exception that ended the script, and at those behind it."""
        with contextlib.suppress(BaseException):  # a hostile exception, or a closed stderr
            for _ in range(CHAIN):
                if isinstance(error, OSError) and error.errno in KEYS:
                    self._say(KEYS[error.errno])
                if isinstance(error, (BlockingIOError, RuntimeError)) and "processes" in self._lines:
                    self._look_at_processes()
                if error is None:
                    break
                error = error.__cause__ or error.__context__

    def look_at_end(self) -> None:
        """Look for what is used up now, whoever caught the error."""
        with contextlib.suppress(BaseException):  # a closed stderr, or a tampered module
            try:
                os.close(os.dup(1))
            except OSError as error:
                if error.errno == errno.EMFILE:
                    self._say("files")
            for path in SCRATCH:
                left = os.statvfs(path)
                if not left.f_bavail or (left.f_files and not left.f_ffree):  # gVisor counts no files
                    self._say("scratch")

    def _look_at_processes(self) -> None:
        """EAGAIN has many reasons; it is this one if there are as many processes and threads as there may be."""
        own = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid != "1"]
        if sum(len(os.listdir(f"/proc/{pid}/task")) for pid in own) >= self._processes:
            self._say("processes")

    def _say(self, key: str) -> None:
        if os.getpid() == self.owner and (line := self._lines.pop(key, None)) is not None:
            with contextlib.suppress(OSError):
                os.write(2, f"{line}\n".encode())
