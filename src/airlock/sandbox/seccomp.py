"""The system calls that scripts may not make, compiled once in the server (libseccomp) and loaded by the worker.

For backends that run scripts on Linux; they depend on `pyseccomp`, core does not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import signal
import stat
import struct
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from airlock.errors import BackendUnavailable

from .sockets import socket_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

# A deny list: an allow list breaks the scientific stack with each new libc. What a script needs none of:
DENIED: Final = (  # noqa: SIM905 - readable as it is
    # other processes' memory and descriptors
    "ptrace process_vm_readv process_vm_writev kcmp "
    # mounts and namespaces
    "mount umount2 pivot_root chroot unshare setns "
    # wide and often broken parts of the kernel
    "bpf perf_event_open userfaultfd add_key request_key keyctl "
    "fanotify_init lookup_dcookie nfsservctl uselib ustat sysfs _sysctl quotactl "
    # files by handle, past every path check
    "open_by_handle_at name_to_handle_at "
    # what the host and neighbours do with files that are shared, /usr above all
    "inotify_init inotify_init1 inotify_add_watch "
    # the machine
    "kexec_load kexec_file_load init_module finit_module delete_module syslog swapon swapoff reboot acct vhangup "
    "settimeofday clock_settime clock_adjtime adjtimex iopl ioperm modify_ldt personality sethostname setdomainname "
    "mbind move_pages migrate_pages set_mempolicy "
    # what the kernel counts for the whole machine (fs.aio-max-nr)
    "io_setup "
    # this layer
    "seccomp"
).split()

# The same, for calls that an installed libseccomp may be too old to know by name. From COMMON on, a call has the same
# number on every architecture.
COMMON: Final = 424
DENIED_BY_NUMBER: Final = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
}
CLONE3: Final = 435

# What came after Linux 5.17 does not exist for scripts, whether it is known by now (statmount, listmount,
# open_tree_attr, cachestat, mseal, setxattrat, ...) or yet to come: libc falls back, as it does on an older kernel.
LATEST: Final = 450
LAST_OWN: Final = {"x86_64": 334, "aarch64": 294}  # the last number below COMMON that means something there

BINARY_TREE: Final = 2  # of libseccomp's optimisations, since 2.5.0
INT: Final = 0xFFFF_FFFF  # what the kernel reads of an `int`; a filter sees the whole register
CLONE_PARENT: Final = 0x8000  # a child of the warm process, which does not know it, and does not end it
NAMESPACE_FLAGS: Final = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
SOL_SOCKET: Final = 1
SOCKET_BUFFERS: Final = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, ...FORCE: memory of the kernel, many times the usual
# Programs for a socket: memory of the kernel, and of what it has for all (net.core.bpf_jit_limit). SO_ATTACH_FILTER,
# SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF.
SOCKET_PROGRAMS: Final = (26, 50, 51, 52)
# Memory that no control group counts: 64 KiB for each access control list. The answer is that of a file system without
# attributes: `cp -a` and `install`, which copy permissions as an access control list, then make do with chmod.
SETS_ATTRIBUTES: Final = ("setxattr", "lsetxattr", "fsetxattr")
# They make the machine's disks write what others have changed, or flush their caches, also for a file that is only
# open for reading. All that scripts can change is in memory.
WAITS_FOR_DISKS: Final = ("sync", "syncfs", "fsync", "fdatasync", "sync_file_range")
MS_SYNC: Final = 4  # of msync; the other flags only look, which some libraries use to find out what is mapped
O_NOTIFICATION_PIPE: Final = os.O_EXCL  # memory that is counted for a user, but for no control group
MADV_MERGEABLE, PR_SET_MEMORY_MERGE = 12, 67  # one page for equal ones of all processes, which others can notice
PR_SCHED_CORE: Final = 62  # keeps the other half of each hyperthreaded core idle
PR_SET_PDEATHSIG, F_SETSIG, EXIT_SIGNAL = 1, 10, 0xFF
SO_PASSPIDFD, SO_PEERPIDFD = 76, 77  # handles on a process outside, such as the server at the other end of the frames
PR_SET_SECCOMP: Final = 22  # the same as the call `seccomp`, with the same memory
MAP_HUGETLB, SHM_HUGETLB, MFD_HUGETLB = 0x40000, 0o4000, 4  # pages that limits.memory does not count
OFD_LOCKS: Final = (fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW)  # they name no process, so that nobody could count them
F_SETDELEG: Final = 1040
WRITE_HINTS: Final = (1036, 1038)  # F_SET_RW_HINT, F_SET_FILE_RW_HINT; kept with the file, even on a read-only mount
FS_IOC_ADD_ENCRYPTION_KEY: Final = 0xC050_6617  # the file system keeps it, for all who see that
# FS_IOC_SETFLAGS (of 64 and of 32 bits) and FS_IOC_FSSETXATTR: flags of a file, which nothing else tells of.
SETS_FLAGS: Final = (0x4008_6602, 0x4004_6602, 0x401C_5820)
CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # typing into a terminal
TIOCSETD: Final = 0x5423  # loads drivers for modems and the like, with which the kernel then handles a terminal
# SIGXFSZ is the kernel's word that limits.file_size was reached. It looks like one that a script sent to itself: both
# have SI_USER and the script's own pid, so scripts send none, nor choose it for what the kernel tells them otherwise.
# (The argument that is the signal's number.)
SENDS_A_SIGNAL: Final = {
    "kill": 1,
    "tkill": 1,
    "tgkill": 2,
    "rt_sigqueueinfo": 1,
    "rt_tgsigqueueinfo": 2,
    "pidfd_send_signal": 1,
}


class Is(NamedTuple):
    """The argument at `position` (from 0), an `int`, is this; the upper half of its register does not count."""

    position: int
    value: int


class Has(NamedTuple):
    """All of `bits` are set in the argument, and none of `without`."""

    position: int
    bits: int
    without: int = 0


class Above(NamedTuple):
    """The register's 64 bits are more than this: true as well of every argument with something in the upper half."""

    position: int
    value: int


class ArgumentRule(NamedTuple):
    """A call that fails with `error` if all conditions on its arguments hold; with 0, it succeeds and does nothing."""

    call: str
    error: int
    conditions: tuple[Is | Has | Above, ...]


ARGUMENT_RULES: Final = (
    *(ArgumentRule("clone", errno.EPERM, (Has(0, flag),)) for flag in (CLONE_PARENT, *NAMESPACE_FLAGS)),
    # Processes that share descriptors: one could hold the POSIX locks that another one took.
    ArgumentRule("clone", errno.EPERM, (Has(0, CLONE_FILES, without=CLONE_THREAD),)),
    # The same as inotify; and, twice, holding up who opens a file.
    *(
        ArgumentRule("fcntl", errno.EPERM, (Is(1, command),))
        for command in (fcntl.F_NOTIFY, fcntl.F_SETLEASE, F_SETDELEG)
    ),
    *(ArgumentRule("fcntl", errno.EINVAL, (Is(1, command),)) for command in (*OFD_LOCKS, *WRITE_HINTS)),
    *(
        ArgumentRule("setsockopt", errno.EPERM, (Is(1, SOL_SOCKET), Is(2, option)))
        for option in (*SOCKET_BUFFERS, *SOCKET_PROGRAMS)
    ),
    *(ArgumentRule(call, errno.EOPNOTSUPP, ()) for call in SETS_ATTRIBUTES),
    *(ArgumentRule("ioctl", errno.ENOTTY, (Is(1, request),)) for request in SETS_FLAGS),
    *(ArgumentRule(call, 0, ()) for call in WAITS_FOR_DISKS),
    ArgumentRule("msync", 0, (Has(2, MS_SYNC),)),
    # What a kernel says that was built without these.
    ArgumentRule("pipe2", errno.ENOPKG, (Has(1, O_NOTIFICATION_PIPE),)),
    ArgumentRule("madvise", errno.EINVAL, (Is(2, MADV_MERGEABLE),)),
    *(ArgumentRule("prctl", errno.EINVAL, (Is(0, option),)) for option in (PR_SET_MEMORY_MERGE, PR_SCHED_CORE)),
    ArgumentRule("setsockopt", errno.ENOPROTOOPT, (Is(1, SOL_SOCKET), Is(2, SO_PASSPIDFD))),
    ArgumentRule("getsockopt", errno.ENOPROTOOPT, (Is(1, SOL_SOCKET), Is(2, SO_PEERPIDFD))),
    ArgumentRule("prctl", errno.EPERM, (Is(0, PR_SET_SECCOMP),)),
    ArgumentRule("mmap", errno.EPERM, (Has(3, MAP_HUGETLB),)),
    ArgumentRule("shmget", errno.EPERM, (Has(2, SHM_HUGETLB),)),
    ArgumentRule("memfd_create", errno.EPERM, (Has(1, MFD_HUGETLB),)),
    # gVisor lets everybody make devices. No other type of file that can be made has this bit.
    ArgumentRule("mknod", errno.EPERM, (Has(1, stat.S_IFCHR & stat.S_IFBLK),)),
    ArgumentRule("mknodat", errno.EPERM, (Has(2, stat.S_IFCHR & stat.S_IFBLK),)),
    *(
        ArgumentRule("ioctl", errno.EPERM, (Is(1, request),))
        for request in (TIOCSTI, TIOCLINUX, TIOCSETD, FS_IOC_ADD_ENCRYPTION_KEY)
    ),
    # The first process of a sandbox may have the script's uid. Without CPU time left, the kernel kills it.
    ArgumentRule("prlimit64", errno.EPERM, (Is(0, 1),)),
    *(ArgumentRule(call, errno.EPERM, (Is(position, signal.SIGXFSZ),)) for call, position in SENDS_A_SIGNAL.items()),
    ArgumentRule("clone", errno.EPERM, (Has(0, signal.SIGXFSZ, without=EXIT_SIGNAL & ~signal.SIGXFSZ),)),
    ArgumentRule("fcntl", errno.EPERM, (Is(1, F_SETSIG), Is(2, signal.SIGXFSZ))),
    ArgumentRule("prctl", errno.EPERM, (Is(0, PR_SET_PDEATHSIG), Is(1, signal.SIGXFSZ))),
)


def seccomp_program(also: Iterable[str] = (), *, internet: Literal["refused", "allowed", "asked"] = "refused") -> bytes:
    """Compile the filter, for x86_64 or aarch64; `also` are calls to deny beside DENIED.

    `internet` says what becomes of sockets for TCP and UDP. They may be `allowed` in a network namespace that has
    nothing but its loopback and that no other script gets. With `asked`, the filter leaves all sockets to
    `asking_program`, which the process must have as well.

    Raises BackendUnavailable when libseccomp is not there, or too old.
    """
    sc = _libseccomp()
    made = sc.SyscallFilter(sc.ALLOW)  # calls of another architecture's ABI (int 0x80) are killed
    try:
        # Not a list: when a filter is loaded, in every standby, the kernel runs it once for each call that there is.
        made.set_attr(sc.Attr.CTL_OPTIMIZE, BINARY_TREE)
    except OSError as error:
        raise BackendUnavailable("libseccomp is older than 2.5.0.", "Update it.") from error
    for name in (*DENIED, *also):
        number = system_call(name)
        if number >= 0:
            made.add_rule(sc.ERRNO(errno.EPERM), number)
    for number in DENIED_BY_NUMBER.values():
        made.add_rule(sc.ERRNO(errno.EPERM), number)
    # The flags of clone3 lie in memory, where a filter cannot look; libc then falls back to clone.
    made.add_rule(sc.ERRNO(errno.ENOSYS), CLONE3)
    for rule in ARGUMENT_RULES:
        number = system_call(rule.call)
        if number >= 0:
            made.add_rule(sc.ERRNO(rule.error), number, *(_compared(sc, condition) for condition in rule.conditions))
    with os.fdopen(os.memfd_create("seccomp"), "r+b") as file:
        made.export_bpf(file)
        file.seek(0)
        return (
            _unknown_numbers()
            + (b"" if internet == "asked" else socket_rules(allows=internet == "allowed"))
            + file.read()
        )


def system_call(name: str) -> int:
    """Return the number of a system call here; negative if this architecture has none of that name.

    Raises BackendUnavailable when libseccomp is not there, or does not know the name.
    """
    if name in DENIED_BY_NUMBER:
        return DENIED_BY_NUMBER[name]
    sc = _libseccomp()
    number: int = sc.resolve_syscall(sc.Arch.NATIVE, name)
    if number == -1:  # other negative numbers: a call of other architectures
        raise BackendUnavailable(f"libseccomp does not know the system call {name}.", "Update it.")
    return number


def _compared(sc: Any, condition: Is | Has | Above) -> Any:
    match condition:
        case Is(position, value):
            return sc.Arg(position, sc.MASKED_EQ, INT, value)
        case Has(position, bits, without):
            return sc.Arg(position, sc.MASKED_EQ, bits | without, bits)
        case Above(position, value):
            return sc.Arg(position, sc.GT, value)


def _unknown_numbers() -> bytes:
    """Return what stands before libseccomp's instructions, which cannot compare numbers of calls by size.

    Numbers of x86_64's second ABI, x32, are all above LATEST. Jumps count the instructions that they leave out.
    """
    load, above, from_, answer = 0x20, 0x25, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JGT|K, BPF_JMP|JGE|K, BPF_RET|K
    fail_enosys = 0x00050000 | errno.ENOSYS  # SECCOMP_RET_ERRNO
    instructions = (
        (load, 0, 0, 0),  # the number
        (above, 2, 0, LATEST),  # refuse
        (above, 0, 2, LAST_OWN[platform.machine()]),  # otherwise it is known: go on
        (from_, 1, 0, COMMON),  # known: go on
        (answer, 0, 0, fail_enosys),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _libseccomp() -> Any:
    try:
        import pyseccomp  # noqa: PLC0415 - loads the shared library
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailable(
            f"libseccomp cannot be loaded ({error}).",
            "Install it: `apt-get install libseccomp2` (Debian, Ubuntu), `dnf install libseccomp` (Fedora, RHEL).",
        ) from error
    return pyseccomp
