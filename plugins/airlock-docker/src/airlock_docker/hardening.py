"""How a container is made: everything that Docker can take away from it is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from docker.types import DriverConfig, HostConfig, LogConfig, Mount, Ulimit

from airlock.sandbox import TERMINALS
from airlock.worker import layers, loopback, warm

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from airlock import Limits

API: Final = "1.41"  # Docker Engine 20.10: what HostConfig checks our options against
UIDS: Final = 1024  # how many there are, from `first_uid` on
LEAST_FILES: Final = 256  # runc and Python need some before the worker sets its own, lower limits
LEAST_FILE_SIZE: Final = 1 << 20
OWN_PROCESSES: Final = 1  # the supervisor
# Of a kernel in user space, like gVisor's, the host counts its own threads: measured are 45, and 5.5 for each process.
KERNEL_PROCESSES: Final = 64
BUFFERS: Final = 8  # which part of `memory` those of internet sockets may take in addition
PROCESSES_EACH: Final = 16
# Instead of Docker's own list, which changes with its releases: what it covers of /proc, and what `local` covers.
# What a kernel does not have is left out.
DOCKERS: Final = "acpi asound interrupts kcore latency_stats sched_debug scsi timer_list timer_stats".split()  # noqa: SIM905
MASKED: Final = tuple(f"/proc/{name}" for name in (*DOCKERS, *layers.HIDDEN))
# Instead of the kernel's /sys and the control groups in it; the supervisor fills them (`airlock.worker.sizes`). It has
# the script's uid, so only Landlock keeps the script from changing what it alone sees.
SYS: Final = "size=4k,nr_inodes=8,mode=755,ro,nosuid,nodev,noexec"
CORES: Final = "size=32m,nr_inodes=8192,mode=1777,nosuid,nodev,noexec"
GROUP: Final = "size=64k,nr_inodes=32,mode=1777,nosuid,nodev,noexec"
DEVPTS: Final = Mount(
    "/dev/pts",
    None,
    type="volume",
    no_copy=True,
    driver_config=DriverConfig(
        "local",
        {"type": "devpts", "device": "devpts", "o": f"nosuid,noexec,max={TERMINALS},mode=600,ptmxmode=666"},
    ),
)
NOTHING: Final = "size=4k,nr_inodes=1,mode=755,ro,nosuid,nodev,noexec"  # options of an empty tmpfs


@dataclass(frozen=True, slots=True)
class Runtime:
    """What containers run in."""

    name: str | None = None  # None: the daemon's default
    has_own_kernel: bool = False  # that one has to count the script's processes


DEFAULT: Final = Runtime()


def container(
    image: str,
    command: list[str],
    *,
    limits: Limits,
    labels: Mapping[str, str],
    uid: int,
    runtime: Runtime = DEFAULT,
    environment: Mapping[str, str] | None = None,
    volumes: Collection[str] = (),
) -> dict[str, Any]:
    """Return what `APIClient.create_container` takes. `volumes` are the paths that the image declares as such."""
    return {
        "image": image,
        "entrypoint": command,
        "command": [],
        "user": f"{uid}:{uid}",
        "working_dir": "/",  # the daemon makes this one itself, and a tmpfs takes the mode of a folder that is there
        "environment": {**warm.ENVIRONMENT, **(environment or {})},
        "labels": dict(labels),
        "healthcheck": {"test": ["NONE"]},
        "stdin_open": True,
        "detach": False,  # StdinOnce: when the server is gone, stdin ends, and with it the container
        "stop_signal": "SIGKILL",  # pid 1 ignores all others, and each stop of the daemon would wait 10 s
        "hostname": "sandbox",
        "network_disabled": True,  # beside the mode "none": spares the daemon a program of its own at each start
        "host_config": host_config(limits, runtime, volumes),
    }


def host_config(limits: Limits, runtime: Runtime, volumes: Collection[str]) -> dict[str, Any]:
    """Return the part that holds the limits and takes the rights away. Never a bind mount, port, device or capability.

    The one volume is nothing but terminals, in memory; Docker has no other way to bound their number.

    The seccomp profile stays Docker's own: the worker puts ours on top of it.
    """
    processes = limits.processes + OWN_PROCESSES
    scratch = f"size={limits.scratch},nr_inodes={max(limits.scratch >> 12, 256)},mode=1777,nosuid,nodev,exec"
    shared = f"size={limits.scratch // 2},nr_inodes=256,mode=1777,nosuid,nodev,noexec"
    # A volume would be a directory on the host's disk that a script can fill.
    nothing = dict.fromkeys(volumes, NOTHING)
    sizes = {"/sys": SYS, "/sys/devices": CORES, "/sys/fs/cgroup": GROUP}
    made = HostConfig(
        version=API,
        network_mode="none",
        sysctls=dict(loopback.SETTINGS),
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        tmpfs={**nothing, **sizes, "/tmp": scratch, layers.WORKSPACE: scratch, "/dev/shm": shared},  # noqa: S108 - private, inside
        # gVisor has terminals of its own. Docker's would be as many as the machine has (kernel.pty.max).
        mounts=[] if runtime.has_own_kernel else [DEVPTS],
        ipc_mode="private",
        cgroupns="private",
        mem_limit=limits.memory,
        memswap_limit=limits.memory,  # memory and swap together: no swap
        pids_limit=KERNEL_PROCESSES + PROCESSES_EACH * processes if runtime.has_own_kernel else processes,
        nano_cpus=None if limits.cpus is None else int(limits.cpus * 1_000_000_000),
        ulimits=[
            _ulimit("nofile", max(limits.files, LEAST_FILES)),
            _ulimit("fsize", max(limits.file_size, LEAST_FILE_SIZE)),
            _ulimit("core", 0),
        ],
        log_config=LogConfig(type=LogConfig.types.NONE, config={}),
        runtime=runtime.name,
        privileged=False,
        publish_all_ports=False,
        init=False,
    )
    # docker-py has no arguments for these.
    made["MaskedPaths"] = list(MASKED)
    # Of version 1 of control groups; with version 2, `memory` counts the buffers of internet sockets as well.
    made["KernelMemoryTCP"] = limits.memory // BUFFERS
    return made


def _ulimit(name: str, value: int) -> Ulimit:
    return Ulimit(name=name, soft=value, hard=value)
