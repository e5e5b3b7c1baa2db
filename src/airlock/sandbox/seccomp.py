"""The system calls that scripts may not make, compiled once in the server (libseccomp) and loaded by the worker.

For backends that run scripts on Linux; they depend on `pyseccomp`, core does not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import TYPE_CHECKING, Any, Final

from airlock.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

# A deny list: an allow list breaks the scientific stack with each new libc. What a script needs none of:
DENIED: Final = (  # noqa: SIM905 - readable as it is
    # other processes' memory and descriptors
    "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise process_mrelease "
    # mounts and namespaces
    "mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr "
    "listmount statmount unshare setns "
    # wide and often broken parts of the kernel
    "bpf perf_event_open io_uring_setup io_uring_enter io_uring_register userfaultfd add_key request_key keyctl "
    "memfd_secret fanotify_init lookup_dcookie nfsservctl uselib ustat sysfs _sysctl quotactl quotactl_fd "
    # files by handle, past every path check
    "open_by_handle_at name_to_handle_at "
    # what the host and neighbours do with files that are shared, /usr above all
    "inotify_init inotify_init1 inotify_add_watch "
    # the machine
    "kexec_load kexec_file_load init_module finit_module delete_module syslog swapon swapoff reboot acct vhangup "
    "settimeofday clock_settime clock_adjtime adjtimex iopl ioperm modify_ldt personality sethostname setdomainname "
    "mbind move_pages migrate_pages set_mempolicy set_mempolicy_home_node "
    # this layer and the one before it
    "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"
).split()

CLONE_PARENT: Final = 0x8000  # a child of the warm process, which does not know it, and does not end it
NAMESPACE_FLAGS: Final = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
UNIX, INET, INET6 = 1, 2, 10
SOL_SOCKET: Final = 1
SOCKET_BUFFERS: Final = (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF, ...FORCE: memory of the kernel, many times the usual
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # typing into a terminal
# SIGXFSZ is the kernel's word that limits.file_size was reached. It looks like one that a script sent to itself: both
# have SI_USER and the script's own pid, so scripts send none. (The argument that is the signal's number.)
SENDS_A_SIGNAL: Final = {
    "kill": 1,
    "tkill": 1,
    "tgkill": 2,
    "rt_sigqueueinfo": 1,
    "rt_tgsigqueueinfo": 2,
    "pidfd_send_signal": 1,
}


def seccomp_program(also: Iterable[str] = ()) -> bytes:
    """Compile the filter; `also` are calls to deny beside DENIED.

    Raises BackendUnavailable when libseccomp is not there.
    """
    try:
        import pyseccomp as sc  # noqa: PLC0415 - loads the shared library
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailable(
            f"libseccomp cannot be loaded ({error}).",
            "Install it: `apt-get install libseccomp2` (Debian, Ubuntu), `dnf install libseccomp` (Fedora, RHEL).",
        ) from error
    made = sc.SyscallFilter(sc.ALLOW)  # calls of a foreign ABI (int 0x80, x32) are killed
    for name in (*DENIED, *also):
        _deny(sc, made, name)
    # The flags of clone3 lie in memory, where a filter cannot look; libc then falls back to clone.
    made.add_rule(sc.ERRNO(errno.ENOSYS), "clone3")
    for flag in (CLONE_PARENT, *NAMESPACE_FLAGS):
        made.add_rule(sc.ERRNO(errno.EPERM), "clone", sc.Arg(0, sc.MASKED_EQ, flag, flag))
    # AF_VSOCK is in no namespace and reaches the hypervisor; packet, netlink, alg, bluetooth, ... are attack surface.
    for call in ("socket", "socketpair"):
        made.add_rule(sc.ERRNO(errno.EAFNOSUPPORT), call, sc.Arg(0, sc.GT, INET6))
        for family in set(range(INET6 + 1)) - {UNIX}:
            # No address can be reached anyway, so say what `connect` would, without the code behind these sockets.
            number = errno.ENETUNREACH if family in (INET, INET6) else errno.EAFNOSUPPORT
            made.add_rule(sc.ERRNO(number), call, sc.Arg(0, sc.EQ, family))
    for command in (fcntl.F_NOTIFY, fcntl.F_SETLEASE):  # the same as inotify; and holding up who opens a file
        made.add_rule(sc.ERRNO(errno.EPERM), "fcntl", sc.Arg(1, sc.MASKED_EQ, 0xFFFFFFFF, command))
    for option in SOCKET_BUFFERS:
        made.add_rule(sc.ERRNO(errno.EPERM), "setsockopt", sc.Arg(1, sc.EQ, SOL_SOCKET), sc.Arg(2, sc.EQ, option))
    for request in (TIOCSTI, TIOCLINUX):
        made.add_rule(sc.ERRNO(errno.EPERM), "ioctl", sc.Arg(1, sc.MASKED_EQ, 0xFFFFFFFF, request))
    for call, position in SENDS_A_SIGNAL.items():
        made.add_rule(sc.ERRNO(errno.EPERM), call, sc.Arg(position, sc.MASKED_EQ, 0xFFFFFFFF, int(signal.SIGXFSZ)))
    with os.fdopen(os.memfd_create("seccomp"), "r+b") as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()


def _deny(sc: Any, made: Any, name: str) -> None:
    try:
        made.add_rule(sc.ERRNO(errno.EPERM), name)
    except (OSError, ValueError, RuntimeError):
        return  # the call is newer than this libseccomp, or not of this architecture
