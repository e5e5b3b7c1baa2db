"""Why this machine cannot isolate, in the words an operator needs: the true cause and the exact remedy."""

from __future__ import annotations

import errno
import os
import platform
import sys
from pathlib import Path
from typing import Final

from airlock import BackendUnavailable

MACHINES: Final = ("x86_64", "aarch64")
OLDEST_KERNEL: Final = (5, 14)  # mount_setattr 5.12, Landlock 5.13, RLIMIT_NPROC per user namespace 5.14
ELSEWHERE: Final = "Or run Airlock on a machine without this restriction."
SYSCTL: Final = Path("/proc/sys")


def check_machine() -> None:
    """Raise BackendUnavailable where the sandbox cannot work whatever an operator does."""
    if sys.platform != "linux":
        raise BackendUnavailable(
            f"The local backend needs Linux; this is {sys.platform}.", "Run Airlock on Linux, or in a Linux VM."
        )
    if platform.machine() not in MACHINES:
        raise BackendUnavailable(
            f"The local backend does not know this machine's architecture ({platform.machine()}).",
            f"Run Airlock on one of: {', '.join(MACHINES)}.",
        )
    if sys.implementation.name != "cpython":
        raise BackendUnavailable(
            f"The local backend runs scripts in the server's own interpreter, and that is {sys.implementation.name}.",
            "Start Airlock with CPython 3.11 or newer.",
        )
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_KERNEL:
        raise BackendUnavailable(
            f"The kernel is {release}; its sandbox features came with Linux {'.'.join(map(str, OLDEST_KERNEL))}.",
            "Upgrade the kernel: those of Debian 12 and Ubuntu 22.04 have what is needed.",
        )


def explain(where: str, number: int | None, message: str) -> BackendUnavailable:
    """Turn a refused system call (`number` is its errno) into what an operator can act on."""
    if number in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EINVAL, errno.EUSERS) and (known := _refused()):
        return known
    if number in (errno.EPERM, errno.EACCES) and _in_container():
        return BackendUnavailable(
            f"The container that Airlock runs in does not let it make sandboxes ({where}: {message}).",
            "Start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined` and as a user other than root (or with `--cap-add SYS_ADMIN`), "
            "or run Airlock outside a container.",
        )
    if number == errno.EBUSY and "NEW_LISTENER" in message:
        return BackendUnavailable(
            f"Whatever Airlock runs in answers its system calls already, and only one may ({where}: {message}).",
            f"In LXD and Incus, switch `security.syscalls.intercept.*` off for this container. {ELSEWHERE}",
        )
    if number == errno.EPERM and "mount(proc" in message:
        return BackendUnavailable(
            f"Parts of /proc are covered here, so that no sandbox may have one of its own ({where}: {message}).",
            f"In a systemd unit leave out ProtectKernelTunables= and ProtectKernelLogs=. {ELSEWHERE}",
        )
    if number in (errno.ENOSPC, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return BackendUnavailable(
            f"The machine has run out of something ({where}: {message}).",
            "Look at `ulimit -n -u`, /proc/sys/user/max_*_namespaces, free memory, and lower `replicas`.",
        )
    return BackendUnavailable(
        f"The sandbox could not be built ({where}: {message}).",
        "Nothing runs without it. Please report this with the output of `uname -a`.",
    )


def _refused() -> BackendUnavailable | None:
    """Look for a switch of the machine that refuses user namespaces."""
    if os.geteuid() != 0 and _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return BackendUnavailable(
            "AppArmor refuses user namespaces to ordinary programs on this machine (Ubuntu 23.10 and later).",
            "Run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` (and put that line into "
            f"/etc/sysctl.d/), or give {sys.executable} an AppArmor profile with `userns,`. {ELSEWHERE}",
        )
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return BackendUnavailable(
            "User namespaces are switched off for ordinary users (kernel.unprivileged_userns_clone is 0).",
            f"Run `sudo sysctl -w kernel.unprivileged_userns_clone=1` (and put it into /etc/sysctl.d/). {ELSEWHERE}",
        )
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        if _sysctl(f"user/max_{kind}_namespaces") == "0":
            return BackendUnavailable(
                f"This machine allows no {kind} namespaces (user.max_{kind}_namespaces is 0).",
                f"Run `sudo sysctl -w user.max_{kind}_namespaces=10000` (and put it into /etc/sysctl.d/). {ELSEWHERE}",
            )
    return None


def _sysctl(name: str) -> str | None:
    try:
        return (SYSCTL / name).read_text(encoding="ascii").strip()
    except OSError:
        return None  # this kernel has no such switch


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")) or "container" in os.environ
