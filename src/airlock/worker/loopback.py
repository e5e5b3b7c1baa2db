"""The one network of an execution: its own loopback, 127.0.0.1 and ::1, with nothing else on it."""

from __future__ import annotations

import fcntl
import socket
import struct

NO_NETWORK = "airlock: this project has no network"  # the line on stderr when a script tried to leave
# What the kernel counts for the whole machine (net.ipv4.tcp_mem), and what no control group counts: so buffers stay
# small, and so does the number of closed connections that are remembered.
SETTINGS = {
    "net.ipv4.tcp_rmem": "4096 131072 131072",
    "net.ipv4.tcp_wmem": "4096 16384 131072",
    "net.ipv4.tcp_max_tw_buckets": "1024",
}
SIOCSIFFLAGS, UP = 0x8914, 1


def bring_up() -> None:
    """Make the loopback work in this process's network namespace, which has to be a new one."""
    for name, value in SETTINGS.items():
        with open(f"/proc/sys/{name.replace('.', '/')}", "w", encoding="ascii") as file:
            file.write(value)
    with socket.socket(socket.AF_UNIX) as any_socket:  # sockets of every family take this call
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", UP))
