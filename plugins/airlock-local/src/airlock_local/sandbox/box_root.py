"""Enters the box: namespaces without network, and a root in which only what is on the allow-list exists."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

from airlock.worker import loopback, prefix, syscalls
from airlock.worker.syscalls import ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY

if TYPE_CHECKING:
    from .config import BoxConfig

# The working directory is the box's own directory in the server's temporary folder. All paths here are relative to it:
# an ordinary user who was root a moment ago may not be able to name it.
STAGE, ROOT = "stage", "root"
DEVICES = ("null", "zero", "full", "random", "urandom")
HOST_NAME = "sandbox"
IMPORTS = "size=256m,nr_inodes=8192,mode=1777"  # of the zygote's own /tmp and /dev/shm
SCRATCH = ("/tmp", "/dev/shm")


def enter(config: BoxConfig) -> None:
    """Returns in the zygote, pid 1 of the box. Its parent stays outside as a waiting process."""
    binds = config["binds"]
    if config["uids"] is None:
        uid, gid = os.getuid(), os.getgid()
        namespaces()
        syscalls.map_ids(uid, gid)
    else:
        first, count = config["uids"]
        binds = stage(binds)
        mapper = Mapper(first, count)
        become_nobody(first)
        namespaces()
        mapper.map()
    own_names()
    fork_first_process()
    build_root(binds, config)
    loopback.bring_up()  # for what `preload` finds out about it


def stage(binds: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """While still root, get hold of what only root can reach, such as an interpreter below a 0700 home."""
    syscalls.unshare(syscalls.NEWNS)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", STAGE, "tmpfs", 0, "mode=755,size=64k")
    staged = []
    for number, (source, target) in enumerate(binds):
        place = f"{STAGE}/{number}"
        bind(source, place)
        staged.append((place, target))
    return staged


def become_nobody(uid: int) -> None:
    """Without it: root of the box is root for files: it read /etc/shadow even without capabilities."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # otherwise /proc/self/uid_map belongs to root


class Mapper:
    """A process that keeps root's rights just long enough to map a range of ids into our user namespace to be.

    Without a range: all scripts of the pool are one user to the kernel, which lets a user signal, trace and starve
    what is its own.
    """

    def __init__(self, first: int, count: int) -> None:
        box = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        wait, self._go = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                os.close(self._go)
                os.read(wait, 1)  # until the other end is closed
                syscalls.map_ids(first, first, count, box)
                code = 0
            except OSError as error:
                code = error.errno or 1
            finally:
                os._exit(code)
        os.close(wait)
        os.close(box)

    def map(self) -> None:
        """Have it done. Raises OSError when that is refused."""
        os.close(self._go)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if code:
            raise OSError(code, f"the ids of scripts cannot be mapped: {os.strerror(abs(code))}")


def namespaces() -> None:
    """Without it: host processes, the network, host mounts and everything else that has a name is in sight.

    USER and PID in one call: the zygote's `setns` back needs a pid namespace that its user namespace owns.
    """
    syscalls.unshare(
        syscalls.NEWUSER
        | syscalls.NEWNS
        | syscalls.NEWPID
        | syscalls.NEWNET
        | syscalls.NEWIPC
        | syscalls.NEWUTS
        | syscalls.NEWCGROUP
    )


def own_names() -> None:
    """Without it: scripts know by name the machine that they run on, and its NIS domain."""
    socket.sethostname(HOST_NAME)
    syscalls.set_domain_name("")


def fork_first_process() -> None:
    """Go on as pid 1 of the box: when it dies, whoever killed it, the kernel kills all that is in the box."""
    pid = os.fork()
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # not earlier: a change of uid clears it
    if pid:
        # It may reach every process of a service (systemd's KillMode=control-group), and is meant for the server, which
        # drains. All others of ours are safe from it: the kernel keeps it from pid 1, and makers and inits block it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        syscalls.close_from(3)
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def build_root(binds: list[tuple[str, str]], config: BoxConfig) -> None:
    """Without it: host files. What is not named here does not exist inside, and nothing of it can be written."""
    os.umask(0o022)
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", ROOT, "tmpfs", 0, "mode=755,size=64m,nr_inodes=32768")
    for source, target in binds:
        bind(source, ROOT + target)
        syscalls.lock_tree(ROOT + target, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
    for path in config["masks"]:
        cover(ROOT + path)
    prefix.put(config["files"], config["links"], ROOT)
    for name in DEVICES:
        bind(f"/dev/{name}", f"{ROOT}/dev/{name}")
        syscalls.lock_tree(f"{ROOT}/dev/{name}", ATTR_RDONLY | ATTR_NOSUID | ATTR_NOEXEC)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{ROOT}/dev/{name}")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{ROOT}/{name}")
    os.symlink("pts/ptmx", f"{ROOT}/dev/ptmx")
    for name in ("tmp", "workspace", "proc", "dev/shm", "dev/pts"):
        os.makedirs(f"{ROOT}/{name}", exist_ok=True)
    for path in SCRATCH:
        syscalls.mount("tmpfs", ROOT + path, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, IMPORTS)
    # The kernel allows this only where the host's own /proc is in full view.
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("proc", f"{ROOT}/proc", "proc", quiet)
    syscalls.pivot_root(ROOT)
    read_only = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount(None, "/", None, read_only)


def no_scratch() -> None:
    """Take away where modules of `preload` had their home, caches, temporary files and semaphores.

    Without it: what scripts, or what they find, could write there, the next ones would read.
    """
    for path in SCRATCH:
        syscalls.unmount(path)


def bind(source: str, target: str) -> None:
    """Show `source` at `target`, with all that is mounted below it."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
    syscalls.mount(source, target, None, syscalls.MS_BIND | syscalls.MS_REC)


def cover(path: str) -> None:
    """Hide a directory behind an empty one, and a socket behind what is none."""
    if os.path.isdir(path):
        syscalls.mount("tmpfs", path, "tmpfs", 0, "mode=755,size=4k,nr_inodes=1")
    elif os.path.exists(path):
        syscalls.mount("/dev/null", path, None, syscalls.MS_BIND)
    else:
        return  # not here, or below a directory that we, and so the scripts, cannot pass
    syscalls.lock_tree(path, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)
