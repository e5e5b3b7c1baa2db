"""Whether scripts have left their slot as they found it. Only then is it used for another one.

The process of the next script finds out, before it has any code of that script (`slot`). When it was forked, nobody
else was there, or the kernel had refused the fork (RLIMIT_NPROC): so nothing changes any more while it compares. The
next pid alone would not tell that, if a process that is left could use up pids until they begin anew.

That nothing is missed has three steps.

What a script can change at all. It has no capability. Landlock lets it write only below /workspace, /tmp, /dev/shm and
/dev. The filter refuses it mounts, namespaces, keys, attributes and flags of files, and the template is in another pid
namespace, where it cannot be signalled, traced or limited.

What dies with its processes: memory, descriptors, locks, timers, limits, priorities, terminals, and relations between
processes.

What does not, and what finds it:

- Processes and threads: none may be left, see above, and none may have been: the next script must get the next pid.
- Files, folders and links, their names, times, modes and owners: the folders must be what they were in every field.
- Files that have no name any more, or never had one: the next inode must have the next number.
- Sockets, those in flight and abstract names among them: the kernel counts those of the network.
- Internet sockets, System V IPC and POSIX message queues, which leave numbers behind: the zygote is asked before there
  is one, and then sets our RLIMIT_LOCKS, which Linux ignores otherwise (`networks`).
- When a name in /proc was looked up first: the server has the kernel forget them all (`syscalls.shrink`).
- Processes that were refused, or killed for memory: the server looks at the counters of the control group.

The times of files have the resolution of a clock tick. What is compared here is at least a tick older than the first
script and does not change while nobody changes it, so no change can hide in the same tick.

What a script does see is how old its slot is and how many it had before: pids and numbers of inodes count on.
"""

from __future__ import annotations

import os
import resource
import time
from typing import NamedTuple

from airlock.worker.layers import WORKSPACE
from airlock.worker.reached import OFFLINE

FOLDERS = (WORKSPACE, "/tmp", "/dev/shm", "/dev/pts/ptmx")
COARSE = 5  # CLOCK_REALTIME_COARSE: what the kernel takes for the times of files
FILE_SYSTEMS = ("/tmp", "/dev/shm")  # /workspace is in the first one


class Folder(NamedTuple):
    """Everything that there is to know about a folder, or about a file that scripts use but do not change."""

    inode: int
    mode: int
    links: int
    owner: tuple[int, int]
    size: int
    blocks: int
    times: tuple[int, int, int]

    @classmethod
    def at(cls, path: str) -> Folder:
        """Look at it."""
        found = os.stat(path)
        return cls(
            found.st_ino,
            found.st_mode,
            found.st_nlink,
            (found.st_uid, found.st_gid),
            found.st_size,
            found.st_blocks,
            (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns),
        )


class Pristine:
    """What a slot was like before its first script."""

    def __init__(self, script: str, sockets: int) -> None:
        """`script` is the empty file for scripts; `sockets` is the descriptor of the network's `sockstat`."""
        self._script = script
        self._sockets = sockets
        self._folders = [Folder.at(path) for path in FOLDERS]
        self._file = Folder.at(script)
        self._inodes = [_next_inode(path) for path in FILE_SYSTEMS]
        newest = max(time_ for folder in self._folders for time_ in folder.times)
        while time.clock_gettime_ns(COARSE) <= newest:
            time.sleep(0.0005)

    def is_restored(self, times: int) -> bool:
        """Empty the script's file, and compare, for the `times`-th time. Raises OSError where that is not possible."""
        os.truncate(self._script, 0)
        return (
            self._is_the_same_file(Folder.at(self._script))
            and [Folder.at(path) for path in FOLDERS] == self._folders
            and [_next_inode(path) - times for path in FILE_SYSTEMS] == self._inodes
            and os.pread(self._sockets, 64, 0).startswith(b"sockets: used 0\n")
            and resource.getrlimit(OFFLINE)[0] == 0
        )

    def _is_the_same_file(self, now: Folder) -> bool:
        """The next script is written there, which sets the times of a change."""
        return now._replace(times=self._file.times) == self._file and now.times[0] == self._file.times[0]


def _next_inode(path: str) -> int:
    descriptor = os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)
