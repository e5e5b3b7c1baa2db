"""The Linux system calls that Python 3.11 does not provide."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the GIL, which is faster; nothing here blocks
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_VM = 0x100

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    1024,
    4096,
    16384,
    1 << 18,
)
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
FSPICK_CLOEXEC, FSCONFIG_CMD_RECONFIGURE = 1, 7

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, SECCOMP_MODE_FILTER = 38, 47, 4, 2
PR_SET_NAME = 15
SECCOMP_SET_MODE_FILTER, SPEC_ALLOW, NEW_LISTENER = 1, 4, 8

# Not by `platform`, which keeps the name of the machine that it saw first: scripts would find the host's there.
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, -1)
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, -1)
# From here on, a call has the same number on every architecture.
FSCONFIG, FSPICK = 431, 433
MOUNT_SETATTR = 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1

ID = 1000  # the only user and group id that exists for a script


def check(result: int, what: str) -> int:
    """Return the result of a call. Raises OSError when it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    check(libc.unshare(flags), f"unshare({flags:#x})")


def setns(descriptor: int, kind: int) -> None:
    """Enter an existing namespace."""
    check(libc.setns(descriptor, kind), f"setns({kind:#x})")


def set_domain_name(name: str) -> None:
    """Set the NIS domain; for the host name, Python has `socket.sethostname`."""
    text = name.encode()
    check(libc.setdomainname(text, len(text)), "setdomainname")


def clone_sleeper(stack: ctypes.Array[ctypes.c_char]) -> int:
    """Start a process that shares our memory and only sleeps, on this stack; returns its pid."""
    top = ctypes.c_void_p(ctypes.addressof(stack) + len(stack))
    pause = ctypes.cast(libc.pause, ctypes.c_void_p)
    return check(libc.clone(pause, top, CLONE_VM | signal.SIGCHLD, None), "clone")


def prctl(option: int, *values: int) -> None:
    """Change an attribute of this process."""
    check(libc.prctl(option, *(*values, 0, 0, 0, 0)[:4]), f"prctl({option})")


def mount(source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount, bind, remount, or change propagation."""
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    result = libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    check(result, f"mount({kind or source or 'none'} on {target})")


def unmount(path: str) -> None:
    """Take a mount away, also from under files that are open."""
    check(libc.umount2(path.encode(), MNT_DETACH), f"umount({path})")


def lock_tree(path: str, attributes: int) -> None:
    """Set attributes (read-only, no setuid, ...) on a mount *and all below it*, which a remount would miss."""
    attr = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    check(libc.syscall(MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, attr, 32), f"mount_setattr({path})")


def pick_file_system(path: str) -> int:
    """Return a descriptor of what is mounted there, for `shrink` by whoever has the right to mount it. Linux 5.2."""
    return check(libc.syscall(FSPICK, AT_FDCWD, path.encode(), FSPICK_CLOEXEC), f"fspick({path})")


def shrink(file_system: int) -> None:
    """Forget all names of a file system that were looked up; nobody who uses one is disturbed."""
    check(libc.syscall(FSCONFIG, file_system, FSCONFIG_CMD_RECONFIGURE, None, None, 0), "fsconfig")


def pivot_root(path: str) -> None:
    """Make `path` the root, and unmount the old one."""
    os.chdir(path)
    check(libc.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")  # the old root now lies on top of the new one
    check(libc.umount2(b".", MNT_DETACH), "umount of the old root")
    os.chdir("/")


def map_ids(uid: int, gid: int, count: int = 1, process: int | None = None) -> None:
    """Map `count` ids of a new user namespace, from ID on, to as many outside it; without root, only to its own.

    `process` is the descriptor of a directory in /proc: by default, that of this process.
    """
    texts = (("setgroups", "deny"), ("uid_map", f"{ID} {uid} {count}"), ("gid_map", f"{ID} {gid} {count}"))
    for name, text in texts:
        path = f"/proc/self/{name}" if process is None else name
        descriptor = os.open(path, os.O_WRONLY, dir_fd=process)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    check(libc.close_range(first, ctypes.c_uint(0x7FFFFFFF), 0), "close_range")  # gVisor refuses a higher bound


def drop_capabilities(last: int) -> None:
    """Empty every capability set; `last` is the highest capability that the kernel knows."""
    for capability in range(last + 1):
        check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl(PR_CAPBSET_DROP)")
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    check(libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)), "capset")


def landlock_version() -> int:
    """Return the kernel's Landlock version; 0 means none."""
    version: int = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    return max(0, version)


def landlock(ruleset: bytes, rules: tuple[tuple[str, int], ...]) -> None:
    """Restrict this process to a Landlock ruleset: `rules` are pairs of a path and the rights below it."""
    handle = check(libc.syscall(LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0), "landlock_create_ruleset")
    for path, rights in rules:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("<Qi", rights, beneath)
        check(
            libc.syscall(LANDLOCK_ADD_RULE, handle, LANDLOCK_RULE_PATH_BENEATH, rule, 0), f"landlock_add_rule({path})"
        )
        os.close(beneath)
    check(libc.syscall(LANDLOCK_RESTRICT_SELF, handle, 0), "landlock_restrict_self")
    os.close(handle)


class Filter:
    """A seccomp program in the kernel's format; owns the memory that it points to."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(self._code))
        self._program = ctypes.create_string_buffer(header, len(header))

    def load(self) -> None:
        """Apply it to the calling process, irrevocably."""
        address = ctypes.addressof(self._program)
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, address)

    def load_and_listen(self) -> int:
        """Load it; returns a descriptor that tells of calls which wait for an answer, see seccomp_unotify(2)."""
        address = ctypes.c_void_p(ctypes.addressof(self._program))
        # SPEC_ALLOW: a filter alone is no reason for mitigations that slow this process and its children down.
        listener = libc.syscall(SECCOMP, SECCOMP_SET_MODE_FILTER, NEW_LISTENER | SPEC_ALLOW, address)
        return check(listener, "seccomp(NEW_LISTENER)")
