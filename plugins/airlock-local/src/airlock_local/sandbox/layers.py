"""What is put around one script, layer by layer, in this order. Each one says what gets through without it.

A layer is a function of a `Confinement`; it runs in the script's own process before that gets any code.
"""

from __future__ import annotations

import base64
import os
import resource
import struct
from typing import TYPE_CHECKING

from airlock.worker import syscalls
from airlock.worker.reached import Reached
from airlock.worker.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import BoxConfig

FRAMES = 3  # the descriptor of the frame socket in a script's process

# Landlock's rights, as bits: see landlock(7)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, MAKE_CHAR, MAKE_BLOCK = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEV, ALL_RIGHTS = 1 << 14, 1 << 15, (1 << 16) - 1
READ = EXECUTE | READ_FILE | READ_DIR
SCRATCH = ALL_RIGHTS & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)
RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}  # how many of the bits a version knows; later: all 16
BIND_TCP_AND_CONNECT_TCP, ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3


class Confinement:
    """What the layers need to know; made once per box, so that a standby has nothing to look up."""

    def __init__(self, config: BoxConfig) -> None:
        self.limits = config["limits"]
        self.layers = tuple(layer for layer in LAYERS if layer.__name__ in config["layers"])
        self.filter = syscalls.Filter(base64.b64decode(config["bpf"]))
        self.landlock_version = syscalls.landlock_version()
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            self.last_capability = int(file.read())
        with open("/proc/self/statm", encoding="ascii") as file:
            self.own_address_space = int(file.read().split()[0]) * resource.getpagesize()
        self.reached = Reached(self.limits["reached"], self.limits["processes"])
        self.uid_offset = 0  # these four belong to the standby that is being made
        self.network = -1
        self.frames = -1
        self.cgroups: tuple[int, ...] = ()


def join_cgroups(box: Confinement) -> None:
    """Without it: memory and process bombs, a CPU share without end. First, so that all that follows is charged."""
    for descriptor in box.cgroups:  # opened by the server, whose rights count here
        os.write(descriptor, b"0")


def own_uid(box: Confinement) -> None:
    """Without it: scripts of the pool, and their inits, are one user to the kernel, so that it would let them signal,
    trace and starve each other if nothing else stood between. An ordinary user has no second id to give.
    """
    if box.uid_offset:
        uid = syscalls.ID + box.uid_offset
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def own_namespaces(box: Confinement) -> None:
    """Without it: mounts, System V IPC and host name are shared with the scripts beside this one."""
    syscalls.unshare(syscalls.NEWNS | syscalls.NEWIPC | syscalls.NEWUTS | syscalls.NEWCGROUP)


def own_scratch(box: Confinement) -> None:
    """Without it: files of other executions, and disks and inode tables that fill up."""
    size = box.limits["scratch"]
    options = f"size={size},nr_inodes={max(size >> 12, 256)},mode=1777"
    syscalls.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options)
    options = f"size={size // 2},nr_inodes=256,mode=1777"
    syscalls.mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
    os.chdir("/tmp")


def own_proc(box: Confinement) -> None:
    """Without it: /proc shows the processes of the scripts beside this one. Not possible after `own_user`."""
    syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def own_network(box: Confinement) -> None:
    """Without it: the box's network leads nowhere either, but names of sockets there are seen and taken by all in it.

    It is one that an execution before this one had, if that left nothing: what is in flight lives on for a moment.
    """
    syscalls.setns(box.network, syscalls.NEWNET)
    descriptor = os.open("/proc/net/unix", os.O_RDONLY)
    if os.read(descriptor, 256).count(b"\n") != 1:  # more than the names of the columns
        syscalls.unshare(syscalls.NEWNET)
    os.close(descriptor)


def own_user(box: Confinement) -> None:
    """Without it: a capability that is won by a bug counts in the whole box, and process limits are shared."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # otherwise /proc/self/uid_map belongs to root
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.NEWUSER)
    syscalls.map_ids(uid, gid)


def only_own_descriptors(box: Confinement) -> None:
    """Without it: the zygote's control socket, and the cgroup files that were opened with the server's rights."""
    os.dup2(box.frames, FRAMES, inheritable=False)
    syscalls.close_from(FRAMES + 1)


def own_session(box: Confinement) -> None:
    """Without it: signals to the process group, and a terminal, are shared with the box."""
    os.setsid()


def resource_limits(box: Confinement) -> None:
    """Without it: descriptors, file sizes, locked memory and core dumps have no bound; as ordinary user also memory.

    After `own_user`: RLIMIT_NPROC counts inside the user namespace (since Linux 5.14), before it would bind the pool.
    """
    limits = box.limits
    processes = limits["processes"] + limits["process_cgroup"]  # one more than the cgroup's: that one counts refusals
    bounds = [
        (resource.RLIMIT_NOFILE, limits["files"]),
        (resource.RLIMIT_FSIZE, limits["file_size"]),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 256),
        (resource.RLIMIT_STACK, 8 << 20),
    ]
    if not limits["memory_cgroup"]:  # per process, and counts what is reserved: only the fallback
        bounds.append((resource.RLIMIT_AS, limits["memory"] + box.own_address_space))
    for name, value in bounds:
        hard = resource.getrlimit(name)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (bound, bound))


def no_capabilities(box: Confinement) -> None:
    """Without it: root inside its own user namespace, and so all of the kernel's code that asks just for that."""
    syscalls.drop_capabilities(box.last_capability)


def no_new_privileges(box: Confinement) -> None:
    """Without it: a setuid program raises the script; and the two layers below are refused."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def landlock(box: Confinement) -> None:
    """Without it: files have the mounts as their only guard; abstract sockets and signals reach the neighbours."""
    version = box.landlock_version
    if version == 0:
        return  # the self-test says so, and the project stays down unless the operator chose `isolation: reduced`
    rights = (1 << RIGHTS_OF_VERSION.get(version, 16)) - 1
    devices = READ | WRITE_FILE | TRUNCATE | IOCTL_DEV
    allowed = (("/", READ), ("/dev", devices), ("/tmp", SCRATCH), ("/dev/shm", SCRATCH))
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}  # later: all three numbers
    ruleset = struct.pack("QQQ", rights, BIND_TCP_AND_CONNECT_TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    rules = tuple((path, bits & rights) for path, bits in allowed)
    syscalls.landlock(ruleset[: sizes.get(version, 24)], rules)


def system_call_filter(box: Confinement) -> None:
    """Without it: the parts of the kernel where the bugs are (bpf, io_uring, ...), and vsock to the hypervisor; and a
    network, empty as it is, keeps counters of what was tried, for the next execution there to read.
    """
    box.filter.load()  # last: it forbids most calls of the layers above


LAYERS: tuple[Callable[[Confinement], None], ...] = (
    join_cgroups,
    own_uid,
    own_namespaces,
    own_scratch,
    own_proc,
    own_network,
    own_user,
    only_own_descriptors,
    own_session,
    resource_limits,
    no_capabilities,
    no_new_privileges,
    landlock,
    system_call_filter,
)
