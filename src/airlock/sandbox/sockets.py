"""Which sockets a script may make, and what it may set there: a seccomp program, written by hand.

An allow list of values, which libseccomp cannot express beside a deny list of calls. A warm process needs nothing that
is refused here, so it can load the program once for all scripts, and be asked when one makes an internet socket.
"""

from __future__ import annotations

import errno
import platform
import struct
from pathlib import Path
from typing import Final

# socket, socketpair, setsockopt, getsockopt
NUMBERS: Final = {"x86_64": (41, 53, 54, 55), "aarch64": (198, 199, 208, 209)}
IPC: Final = {"x86_64": (29, 64, 68, 240), "aarch64": (194, 190, 186, 180)}  # shmget, semget, msgget, mq_open
UNIX, INET, INET6 = 1, 2, 10  # AF_*
STREAM, DGRAM, RAW = 1, 2, 3  # SOCK_*
IPV6: Final = Path("/proc/net/if_inet6")  # only where the kernel has it
TYPE: Final = 0xF  # the bits of `type` that are no flags (SOCK_NONBLOCK, SOCK_CLOEXEC)
TCP, UDP = 6, 17  # IPPROTO_*
SOL_SOCKET, SOL_IP, SOL_TCP, SOL_IPV6 = 1, 0, 6, 41
# What the machine has for all: memory that a user locks (SO_ZEROCOPY), a share of net.ipv4.tcp_mem (SO_RESERVE_MEM),
# and a switch for the time of each packet that any process gets (SO_TIMESTAMP and its like, old and new).
OF_THE_MACHINE: Final = (60, 73, 29, 35, 37, 63, 64, 65)
TCP_MD5SIG: Final = 14  # a pool of keys that the machine has for all
# The last of the common ones. Behind them come, among others,
TCP_FASTOPEN_CONNECT: Final = 30  # TCP_ULP (TLS in the kernel), TCP_ZEROCOPY_RECEIVE, TCP_TX_DELAY, TCP_AO_ADD_KEY;
IP_MULTICAST_LOOP: Final = 34  # memberships and packet filters;
IPV6_RECVERR_RFC4884, MCAST_MSFILTER = 31, 48  # between these: labels of flows, policies, memberships;
IPV6_HOPLIMIT, IPV6_FILTERS, IPV6_TCLASS = 52, 65, 67  # between the first two: headers of packets, packet filters.
IPV6_ADDRFORM, IPV6_ADD_MEMBERSHIP = 1, 20
ALLOW, ASK, ERRNO = 0x7FFF_0000, 0x7FC0_0000, 0x0005_0000  # SECCOMP_RET_ALLOW, ..._USER_NOTIF, ..._ERRNO
# Offsets in `struct seccomp_data`. Of an argument that is an `int`, only the lower half counts, which comes first.
NUMBER, FIRST, SECOND, THIRD = 0, 16, 24, 32
# BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGT|K, BPF_JMP|JA, BPF_RET|K
LOAD, AND, EQUAL, ABOVE, GO, ANSWER = 0x20, 0x54, 0x15, 0x25, 0x05, 0x06

Line = str | tuple[int, int] | tuple[int, int, str]  # a label, or (operation, operand[, label to jump to])


def asking_program() -> bytes:
    """Return a program of its own: whoever holds its listener is asked before each call that leaves in a namespace
    what cannot be found there afterwards: internet sockets, and the numbers of System V IPC and of message queues.

    A script's process has it beside its other filter: of two answers, the kernel takes the stricter.
    """
    numbers: tuple[Line, ...] = tuple((EQUAL, number, "ask") for number in IPC[platform.machine()])
    return _assembled((LOAD, NUMBER), *numbers, *_lines((ANSWER, ASK)), (ANSWER, ALLOW), "ask", (ANSWER, ASK))


def socket_rules(*, allows: bool) -> bytes:
    """Return the beginning of a program, which goes on with what it does not refuse, as internet sockets if it so says.

    Otherwise they fail as `connect` would where there is no network, without the code behind them.
    """
    return _assembled(*_lines((GO, 0, "allow") if allows else (ANSWER, ERRNO | errno.ENETUNREACH)))


def _lines(make: Line) -> tuple[Line, ...]:
    """Return what to do, which ends with the label `allow`; `make` is how an internet socket is made."""
    socket, socketpair, setsockopt, getsockopt = NUMBERS[platform.machine()]
    return (
        (LOAD, NUMBER),
        (EQUAL, socket, "socket"),
        (EQUAL, setsockopt, "set"),
        (EQUAL, getsockopt, "get"),
        (EQUAL, socketpair, "pair"),
        (GO, 0, "allow"),
        "pair",
        (LOAD, FIRST),
        (EQUAL, UNIX, "allow"),
        (ANSWER, ERRNO | errno.EAFNOSUPPORT),
        # AF_VSOCK is in no namespace and reaches the hypervisor; packet, netlink, alg, bluetooth, ... are attack
        # surface. For what is not there (IPv6 at times, SCTP, MPTCP, types that do not exist), the kernel would also
        # start `modprobe`, as root and outside the sandbox.
        "socket",
        (LOAD, FIRST),
        (EQUAL, UNIX, "allow"),
        (EQUAL, INET, "internet"),
        *([(EQUAL, INET6, "internet")] if IPV6.exists() else []),
        (ANSWER, ERRNO | errno.EAFNOSUPPORT),
        "internet",
        (LOAD, SECOND),
        (AND, TYPE),
        (EQUAL, STREAM, "stream"),
        (EQUAL, DGRAM, "datagrams"),
        (EQUAL, RAW, "raw"),
        (ANSWER, ERRNO | errno.EPROTONOSUPPORT),
        "raw",
        (ANSWER, ERRNO | errno.EACCES),
        "stream",
        (LOAD, THIRD),
        (EQUAL, 0, "make"),
        (EQUAL, TCP, "make"),
        (ANSWER, ERRNO | errno.EPROTONOSUPPORT),
        "datagrams",
        (LOAD, THIRD),
        (EQUAL, 0, "make"),
        (EQUAL, UDP, "make"),
        (ANSWER, ERRNO | errno.EPROTONOSUPPORT),
        "make",
        make,
        # What is refused here acts on the whole machine, has often been broken, or is for networks with others in them.
        "get",
        (LOAD, SECOND),
        (EQUAL, SOL_TCP, "TCP"),
        (GO, 0, "allow"),
        "set",
        (LOAD, SECOND),
        (EQUAL, SOL_SOCKET, "any socket"),
        (EQUAL, SOL_TCP, "TCP"),
        (EQUAL, SOL_IP, "IP"),
        (EQUAL, SOL_IPV6, "IPv6"),
        (GO, 0, "no option"),
        "any socket",
        (LOAD, THIRD),
        *((EQUAL, option, "no option") for option in OF_THE_MACHINE),
        (GO, 0, "allow"),
        "TCP",
        (LOAD, THIRD),
        (EQUAL, TCP_MD5SIG, "no option"),
        (ABOVE, TCP_FASTOPEN_CONNECT, "no option"),
        (GO, 0, "allow"),
        "IP",
        (LOAD, THIRD),
        (ABOVE, IP_MULTICAST_LOOP, "no option"),
        (GO, 0, "allow"),
        "IPv6",
        (LOAD, THIRD),
        (EQUAL, IPV6_ADDRFORM, "no option"),
        (EQUAL, IPV6_ADD_MEMBERSHIP, "no option"),
        (ABOVE, IPV6_TCLASS, "no option"),
        (ABOVE, IPV6_FILTERS, "allow"),
        (ABOVE, IPV6_HOPLIMIT, "no option"),
        (ABOVE, MCAST_MSFILTER, "allow"),
        (ABOVE, IPV6_RECVERR_RFC4884, "no option"),
        (GO, 0, "allow"),
        "no option",
        (ANSWER, ERRNO | errno.ENOPROTOOPT),
        "allow",
    )


def _assembled(*lines: Line) -> bytes:
    """Return the kernel's format; jumps count the instructions that they leave out, and only lead ahead."""
    labels: dict[str, int] = {}
    instructions: list[tuple[int, int] | tuple[int, int, str]] = []
    for line in lines:
        if isinstance(line, str):
            labels[line] = len(instructions)
        else:
            instructions.append(line)
    program = b""
    for place, (operation, operand, *label) in enumerate(instructions, 1):
        ahead = labels[label[0]] - place if label else 0
        fields = (operation, 0, 0, ahead) if operation == GO else (operation, ahead, 0, operand)
        program += struct.pack("=HBBI", *fields)
    return program
