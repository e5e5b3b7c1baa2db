"""Names on stderr the limit that a script reached, where the system only gives it an OSError."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import resource
import socket
from typing import TYPE_CHECKING

from .layers import WRITABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = {
    errno.EMFILE: "files",
    errno.ENOSPC: "scratch",
    errno.ENETUNREACH: "network",
    errno.EHOSTUNREACH: "network",  # of gVisor
    socket.EAI_AGAIN: "network",  # negative, so no errno
    socket.EAI_NONAME: "network",
}
# A resource limit that Linux ignores (RLIMIT_LOCKS). Where it is 0, this execution made no internet socket so far.
OFFLINE = 10
SLACK = 1 << 20  # bytes of address space that a thread takes beside its stack
RUST = "PanicException"  # of polars and the like, where one of their threads cannot start
CHAIN = 10  # exceptions in a chain that are examined


class Reached:
    """Writes one line per limit, and only on evidence: the kernel's current state, or an error with no other cause.

    It covers only the script's own process, not its children. It runs within the reach of the script's code, which may
    tamper with it, but deceives only itself.
    """

    def __init__(self, lines: Mapping[str, str], processes: int) -> None:
        """`lines` maps the key of each limit to detect here to its line."""
        self._lines = dict(lines)
        self._has_few_terminals = "terminals" in lines
        self._may_be_short_of = {"processes", "memory"} & lines.keys()
        self._processes = processes
        self.owner = os.getpid()

    def file_size(self, *_: object) -> None:
        """Handle SIGXFSZ, which the kernel sends for this reason only; the filter of a sandbox lets nobody else."""
        self._say("file_size")

    def look_at_error(self, error: BaseException | None) -> None:
        """Examine the exception that ended the script, and its causes."""
        with contextlib.suppress(BaseException):  # a hostile exception, or a closed stderr
            for _ in range(CHAIN):
                if isinstance(error, OSError) and error.errno in KEYS:
                    self._say("terminals" if self._is_out_of_terminals(error) else KEYS[error.errno])
                if isinstance(error, (BlockingIOError, RuntimeError)) or type(error).__name__ == RUST:
                    self._look_at_processes()
                if error is None:
                    break
                error = error.__cause__ or error.__context__

    def look_at_end(self) -> None:
        """Check what is used up at the end, even if the script caught the error."""
        with contextlib.suppress(BaseException):  # a closed stderr, or a tampered module
            try:
                os.close(os.dup(1))
            except OSError as error:
                if error.errno == errno.EMFILE:
                    self._say("files")
            for path in WRITABLE:
                left = os.statvfs(path)
                if not left.f_bavail or (left.f_files and not left.f_ffree):  # gVisor counts no files
                    self._say("scratch")
            if "network" in self._lines and resource.getrlimit(OFFLINE)[0] != 0 and _has_tried_to_leave():
                self._say("network")

    def _look_at_processes(self) -> None:
        """Check the number of processes and threads, because EAGAIN has other reasons too.

        One is that the stack of a new thread does not fit into the address space, where that is bounded.
        """
        if not self._may_be_short_of:
            return
        own = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid != "1"]
        if sum(len(os.listdir(f"/proc/{pid}/task")) for pid in own) >= self._processes:
            self._say("processes")
        elif "memory" in self._may_be_short_of and _address_space_was_full():
            self._say("memory")

    def _is_out_of_terminals(self, error: OSError) -> bool:
        """Tell what ENOSPC means: the kernel also says it where no more terminals can be made."""
        if error.errno != errno.ENOSPC or not self._has_few_terminals:
            return False
        try:
            os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError as refusal:
            return refusal.errno == errno.ENOSPC
        return False

    def _say(self, key: str) -> None:
        if os.getpid() == self.owner and (line := self._lines.pop(key, None)) is not None:
            with contextlib.suppress(OSError):
                os.write(2, f"{line}\n".encode())


def _has_tried_to_leave() -> bool:
    """Tell whether the kernel found no route for a packet in this network, whoever sent it."""
    with open("/proc/self/net/snmp", encoding="ascii") as file:
        names, values = file.readline().split(), file.readline().split()
    if values[names.index("OutNoRoutes")] != "0":
        return True
    with open("/proc/self/net/snmp6", encoding="ascii") as file:
        return any(int(line.split()[1]) for line in file if line.startswith("Ip6OutNoRoutes"))


def _address_space_was_full() -> bool:
    """Tell whether at its largest there was no room for the stack of one more thread."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        peak = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmPeak:"))
    stack = _thread.stack_size() or resource.getrlimit(resource.RLIMIT_STACK)[0]
    return peak + stack + SLACK > resource.getrlimit(resource.RLIMIT_AS)[0] >= 0
