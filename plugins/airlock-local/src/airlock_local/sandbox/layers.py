"""What is put around one script, layer by layer, in this order. Each one says what gets through without it.

Those that every backend has are `airlock.worker.layers`; here are those of a box: cgroups, namespaces, mounts.
"""

from __future__ import annotations

import base64
import os
import resource
import socket
from typing import TYPE_CHECKING

from airlock.worker import syscalls
from airlock.worker.layers import (
    HIDDEN,
    WORKSPACE,
    keep_only,
    landlock,
    no_new_privileges,
    own_session,
    resource_limits,
    system_call_filter,
)
from airlock.worker.reached import Reached
from airlock.worker.reseed import Reseeding
from airlock.worker.syscalls import MS_BIND, MS_NOATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Mapping

    from .config import BoxConfig, BoxLimits

PROC = b"p"  # the message to the server with the file system at /proc
MEMINFO = "/sys/meminfo"  # in the box: what a script reads as /proc/meminfo


class Confinement:
    """What the layers need to know; made once per box, so that a standby has nothing to look up."""

    def __init__(self, config: BoxConfig, library: ctypes.PyDLL | None) -> None:
        self.limits = config["limits"]
        self.layers = tuple(layer for layer in LAYERS if layer.__name__ in config["layers"])
        self.library = library
        self.filter = syscalls.Filter(base64.b64decode(config["bpf"]))
        self.landlock_version = syscalls.landlock_version()
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            self.last_capability = int(file.read())
        self._bounds = {is_reused: bounds(self.limits, is_reused=is_reused) for is_reused in (False, True)}
        self.covers = (*covers(HIDDEN), (MEMINFO, "/proc/meminfo"))
        self.reached = Reached(self.limits["reached"], self.limits["processes"])
        self.reseeding = Reseeding(config["preload_reseed"])
        self.uid_offset = 0  # these belong to the slot that is being made
        self.network = -1
        self.frames = -1  # a socket to the server; the layers leave it open, and those that are in `kept`
        self.cgroups: tuple[int, ...] = ()
        self.kept: list[int] = []
        # The next ones are for a template (`slot`): the pid namespace of its scripts, and the directory in the box's
        # /proc of itself, which is not in that namespace. The layers put its network's sockstat in `kept`.
        self.pids = -1
        self.own_proc: int | None = None

    @property
    def resource_limits(self) -> Mapping[int, int]:
        """The bounds of a script, and of its template, if it has one."""
        return self._bounds[self.pids >= 0]

    def hand_over_proc(self) -> None:
        """Give the server the file system at /proc, before limits: descriptors in flight count for the whole user."""
        descriptor = syscalls.pick_file_system("/proc")
        with socket.socket(fileno=os.dup(self.frames)) as sock:
            socket.send_fds(sock, [PROC], [descriptor])
        os.close(descriptor)


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


def own_proc(box: Confinement) -> None:
    """Without it: /proc shows the processes of the scripts beside this one, and what the host does with its files.

    Not possible after `own_user`; before `own_scratch`, /dev/shm is an empty directory that nobody can write.
    """
    if box.pids < 0:
        mount_proc()
    else:
        box.own_proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        syscalls.setns(box.pids, syscalls.NEWPID)  # for children: this process remains where no script sees it
        in_child(mount_proc)  # it shows what whoever mounts it can see
        box.hand_over_proc()
    for cover, path in box.covers:
        syscalls.mount(cover, path, None, MS_BIND)


def own_scratch(box: Confinement) -> None:
    """Without it: files of other executions, and disks and inode tables that fill up; and no terminals."""
    size = box.limits["scratch"]
    options = f"size={size},nr_inodes={max(size >> 12, 256)},mode=755"
    syscalls.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, options)
    os.mkdir("/tmp/tmp")  # one file system, and so one bound, for both
    os.mkdir("/tmp/workspace")
    syscalls.mount("/tmp/workspace", WORKSPACE, None, MS_BIND)
    syscalls.mount("/tmp/tmp", "/tmp", None, MS_BIND)
    options = f"size={size // 2},nr_inodes=256,mode=1777"
    syscalls.mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, options)
    options = f"max={box.limits['terminals']},mode=600,ptmxmode=666"
    syscalls.mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)


def own_network(box: Confinement) -> None:
    """Without it: the box's network leads nowhere either, but names of sockets there are seen and taken by all in it.

    An execution before this one may have had it, if that left nothing (`networks`).
    """
    syscalls.setns(box.network, syscalls.NEWNET)
    if box.pids >= 0:
        box.kept.append(os.open("net/sockstat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=box.own_proc))


def own_user(box: Confinement) -> None:
    """Without it: a capability that is won by a bug counts in the whole box, and process limits are shared."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # otherwise /proc/self/uid_map belongs to root
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.NEWUSER)
    syscalls.map_ids(uid, gid, process=box.own_proc)


def only_own_descriptors(box: Confinement) -> None:
    """Without it: see `airlock.worker.layers.only_own_descriptors`."""
    keep_only(box.frames, *box.kept)


def no_capabilities(box: Confinement) -> None:
    """Without it: root inside its own user namespace, and so all of the kernel's code that asks just for that."""
    syscalls.drop_capabilities(box.last_capability)


def mount_proc() -> None:
    """Show the processes of the pid namespace that this process is in."""
    syscalls.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def in_child(work: Callable[[], None]) -> None:
    """Have a child do it. Raises OSError when that fails."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(abs(code), os.strerror(abs(code)))


def covers(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return pairs of (what is empty, path), for those of these files and directories that this kernel's /proc has."""
    paths = [path for name in names if os.path.exists(path := f"/proc/{name}")]
    return tuple(("/dev/shm" if os.path.isdir(path) else "/dev/null", path) for path in paths)


def bounds(limits: BoxLimits, *, is_reused: bool) -> dict[int, int]:
    """Return the resource limits of a script; without cgroups they stand in for those, process by process.

    RLIMIT_NPROC counts inside the user namespace (since Linux 5.14): before `own_user` it would bind the pool.
    """
    processes = limits["processes"] + is_reused  # a slot's template is one of them
    if limits["process_cgroup"]:
        processes *= 2  # each may have one more in the making: it is the cgroup that refuses, as it counts that
    found = {
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NPROC: processes,
    }
    if not limits["memory_cgroup"]:  # per process, and counts what is reserved: only the fallback
        with open("/proc/self/statm", encoding="ascii") as file:
            found[resource.RLIMIT_AS] = limits["memory"] + int(file.read().split()[0]) * resource.getpagesize()
    return found


LAYERS: tuple[Callable[[Confinement], None], ...] = (
    join_cgroups,
    own_uid,
    own_namespaces,
    own_proc,
    own_scratch,
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
