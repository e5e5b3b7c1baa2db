"""The layers around a script that every Linux sandbox has. Each docstring says what is possible without the layer.

A layer is a function that gets what it needs to know; it runs in the script's process before any of the script's code.
Layers of a single backend (mounts, namespaces, cgroups) are in a module of that backend, with a list of all in order.
"""

from __future__ import annotations

import fcntl
import os
import resource
import struct
from typing import TYPE_CHECKING, Protocol

from . import syscalls

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAMES = 3  # the descriptor of the frame socket in a script's process
HIGH = 8  # above those that a process has which becomes a script

# In /proc: what tells more of the host and of neighbours than totals, and no script needs. A backend that mounts /proc
# covers it: who locks which file, how the machine was booted (at times with a password), its disks and remote file
# systems, which keys the server has and which users have some. Each costs every standby a mount of 10 microseconds, so
# what /proc/stat tells as well (`interrupts`) is not among them.
HIDDEN = ("locks", "cmdline", "fs", "keys", "key-users")

WORKSPACE = "/workspace"  # where a script finds itself: its working folder
WRITABLE = (WORKSPACE, "/tmp", "/dev/shm")

# Landlock's rights, as bits: see landlock(7)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, MAKE_CHAR, MAKE_BLOCK = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEV, ALL_RIGHTS = 1 << 14, 1 << 15, (1 << 16) - 1
READ = EXECUTE | READ_FILE | READ_DIR
SCRATCH = ALL_RIGHTS & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)
# How many of the bits a version supports; later: 17. The last one is the right to connect to a socket in the file
# system: nobody gets it, as sockets that a script has made itself are always in its reach.
RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16, 8: 16}
ABSTRACT_SOCKETS_AND_SIGNALS = 3


class Confined(Protocol):
    """What these layers need to know about a sandbox."""

    frames: int  # descriptor of the frame socket
    filter: syscalls.Filter
    landlock_version: int  # of the kernel; 0: none

    @property
    def resource_limits(self) -> Mapping[int, int]:
        """The bound of each RLIMIT_*, in addition to those in `resource_limits`."""


def only_own_descriptors(box: Confined) -> None:
    """Without it: the script gets every inherited descriptor, opened with the rights of the sandbox's creator; and what
    one script does to an inherited stdin (flags, owner, signal, locks), the next one finds there.
    """
    keep_only(box.frames)


def keep_only(*descriptors: int) -> None:
    """Have these from FRAMES on, in this order, an empty stdin of one's own, and nothing else but stdout and stderr."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH) for descriptor in descriptors]
    for place, descriptor in enumerate(aside, FRAMES):
        os.dup2(descriptor, place, inheritable=False)
    syscalls.close_from(FRAMES + len(aside))


def own_session(box: Confined) -> None:
    """Without it: the script shares a terminal and signals to the process group with the processes around it."""
    os.setsid()


def resource_limits(box: Confined) -> None:
    """Without it: descriptors, file sizes, locked memory and core dumps are unlimited."""
    bounds = {
        resource.RLIMIT_CORE: 1,  # 0 still starts a piped core_pattern's program, outside and as root; 1 does not
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
        resource.RLIMIT_STACK: 8 << 20,
        **box.resource_limits,
    }
    for name, value in bounds.items():
        hard = resource.getrlimit(name)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(name, (bound, bound))
        except ValueError:
            if name in box.resource_limits:
                raise  # the others limit parts of Linux that gVisor does not have


def no_new_privileges(box: Confined) -> None:
    """Without it: a setuid program raises the script's privileges, and the kernel refuses the two layers below."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def landlock(box: Confined) -> None:
    """Without it: only the mounts protect files; abstract sockets and signals reach other scripts."""
    version = box.landlock_version
    if version == 0:
        return  # the backend reports that, and decides whether to run without it
    rights = (1 << RIGHTS_OF_VERSION.get(version, 17)) - 1
    devices = READ | WRITE_FILE | TRUNCATE | IOCTL_DEV
    allowed = (("/", READ), ("/dev", devices), *((path, SCRATCH) for path in WRITABLE))
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}  # later: all three numbers
    # No right of TCP: a network has nothing but the loopback, where all ports are the script's own.
    ruleset = struct.pack("QQQ", rights, 0, ABSTRACT_SOCKETS_AND_SIGNALS)
    rules = tuple((path, bits & rights) for path, bits in allowed)
    syscalls.landlock(ruleset[: sizes.get(version, 24)], rules)


def system_call_filter(box: Confined) -> None:
    """Without it: error-prone parts of the kernel (bpf, io_uring, ...) are in reach."""
    box.filter.load()  # last: it forbids most calls that the layers above make
