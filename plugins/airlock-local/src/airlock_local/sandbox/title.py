"""What `ps` and `top` show of the processes of a box, instead of the bootstrap's source text."""

from __future__ import annotations

import ctypes

from airlock.worker import syscalls

SLOT, SCRIPT = (ctypes.create_string_buffer(f"airlock-{kind}".encode()) for kind in ("slot", "script"))
ARG_START = 48 - 3  # of the fields of /proc/self/stat that follow the name; see proc_pid_stat(5)


class Title:
    """Writes over the arguments that the interpreter was started with: it has long since read them.

    Forks have the same arguments in the same place, so one look at where they are does for all.
    """

    def __init__(self, project: str) -> None:
        """`project` is shown behind what the process is for."""
        self._project = project
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        self._start, end = map(int, fields[ARG_START : ARG_START + 2])
        self._length = end - self._start
        if self._start:
            ctypes.memset(self._start, 0, self._length)

    def show(self, kind: str) -> None:
        """Be `airlock: KIND PROJECT` for `ps`, and `airlock-KIND` where there is room for 15 characters only."""
        self._rename(ctypes.create_string_buffer(f"airlock-{kind}".encode()))
        if self._start:
            text = f"airlock: {kind} {self._project}".encode()[: self._length - 1] + b"\0"
            ctypes.memmove(self._start, text, len(text))

    def show_fork(self, name: ctypes.Array[ctypes.c_char]) -> None:
        """Be SLOT or SCRIPT where there is room for little, and the zygote's fork elsewhere.

        Each page that a fork writes to is copied: to write over its arguments would cost every execution another one.
        """
        self._rename(name)

    def _rename(self, name: ctypes.Array[ctypes.c_char]) -> None:
        syscalls.prctl(syscalls.PR_SET_NAME, ctypes.addressof(name))
