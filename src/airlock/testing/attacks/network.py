"""Every way out of a sandbox's own loopback that a script may try, and what it may find of others' sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import pytest

from airlock.testing.backend.capabilities import needs
from airlock.testing.requirements import missing

from .arena import Arena
from .canaries import Pool

LEAVING = {
    "AF_NETLINK": 16,
    "AF_PACKET": 17,
    "AF_CAN": 29,
    "AF_TIPC": 30,
    "AF_BLUETOOTH": 31,
    "AF_ALG": 38,
    "AF_VSOCK": 40,
}
HAS_IPV6 = Path("/proc/net/if_inet6").exists()
NO_WAY = {"ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM", "EADDRNOTAVAIL", "ECONNREFUSED", "EAFNOSUPPORT", "EINVAL"}
# A service of clouds, private networks, Docker's bridge, the internet, all and some who are near; the same as IPv6.
ELSEWHERE: Final[dict[int, list[str]]] = {
    socket.AF_INET: ["169.254.169.254", "10.0.0.1", "172.17.0.1", "8.8.8.8", "255.255.255.255", "224.0.0.251"],
    socket.AF_INET6: ["::ffff:10.0.0.1", "2001:4860:4860::8888", "fd00::1", "ff02::fb%1", "ff05::1"],
}
# All combinations below, and one unusual protocol of each kind: ICMP, SCTP, UDP-Lite, SMC, MPTCP.
MAKES = """
import itertools, socket
made = set()
for family, kind, protocol in itertools.product(range(50), range(16), (*range(20), 58, 132, 136, 256, 262)):
    try:
        socket.socket(family, kind, protocol).close()
        made.add((family, kind, protocol))
    except OSError:
        pass
set_result(sorted(made))
"""
UNIX_SOCKETS = [[socket.AF_UNIX, kind, protocol] for kind in (1, 2, 3, 5) for protocol in (0, 1)]
INTERNET_SOCKETS = [
    [family, kind, protocol]
    for family in ([socket.AF_INET, socket.AF_INET6] if HAS_IPV6 else [socket.AF_INET])
    for kind, protocols in ((socket.SOCK_STREAM, (0, 6)), (socket.SOCK_DGRAM, (0, 17)))
    for protocol in protocols
]
OPTIONS = {
    "a share of all buffers": (1, 73),
    "locked memory": (1, 60),
    "the time of each packet": (1, 29),
    "signatures of TCP": (6, 14),
    "TLS in the kernel": (6, 31),
    "delays of TCP": (6, 37),
    "tunnels in UDP": (17, 100),
    "IPv6 that becomes IPv4": (41, 1),
    "a group of IPv4": (0, 35),
    "a group of IPv6": (41, 20),
    "a group of both": (41, 42),
    "labels of flows": (41, 32),
    "a filter of packets": (0, 64),
    "headers of packets": (41, 57),
}
# What scripts do to a network of their own: connect, close, wait, fill, count, and what outlives its socket.
USE = """
import contextlib, socket
def meet(family, host):
    with socket.create_server((host, 4711), family=family) as server:
        for _ in range(3):
            client = socket.create_connection((host, 4711))
            peer, _ = server.accept()
            client.sendall(bytes(100_000)[:1000]); peer.recv(1000); peer.close(); client.close()
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.bind((host, 4711)); one.sendto(b"x", (host, 4711)); one.sendto(b"x", (host, 9))
meet(socket.AF_INET, "127.0.0.1")
with contextlib.suppress(OSError): meet(socket.AF_INET6, "::1")
for family in socket.AF_INET, socket.AF_INET6, socket.AF_UNIX:
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        try: socket.socket(family, kind).connect(("10.0.0.1", 9))
        except (OSError, TypeError): pass
"""
LOOK = """
import os, re, socket
found = {}
for name in {*os.listdir("/proc/self/net")} - {"softnet_stat", "netlink", "unix"}:  # the machine's, and own inodes
    try: text = open(f"/proc/self/net/{name}").read()
    except OSError: continue
    found[name] = re.sub("(alloc|mem|memory|orphan) +-?[0-9]+", "", text)  # the machine's
with socket.socket() as server: server.bind(("127.0.0.1", 4711))  # which a connection that is remembered would prevent
set_result(found)
"""
# How much may be sent to who does not read.
UNREAD = """
import contextlib, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
client.setblocking(False)
sent = 0
with contextlib.suppress(BlockingIOError):
    while sent < 1 << 26: sent += client.send(bytes(1 << 16))
set_result(sent)
"""
LISTEN = """
import socket, time
kept = []
for family in socket.AF_INET, socket.AF_INET6:
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        try:
            made = socket.socket(family, kind)
            made.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 4711))
            if kind == socket.SOCK_STREAM: made.listen()
            kept.append(made)
        except OSError: pass
print(len(kept))
time.sleep(60)
"""
BIND = """
import socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind("\\0neighbour")
listener.listen()
print(1)
time.sleep(60)
"""


@pytest.mark.anyio
class Network(Arena):
    """There is no network, to the host or to neighbours, and no trace of theirs."""

    @pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
    async def test_a_listener_on_the_hosts_loopback_is_not_reached(self, pool: Pool, family: int) -> None:
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        if family == socket.AF_INET6 and not HAS_IPV6:
            missing("ipv6", "this kernel has no IPv6")
        with socket.socket(family) as listener:
            listener.bind((host, 0))
            listener.listen()
            listener.setblocking(False)
            port = listener.getsockname()[1]
            assert await self.attempt(pool, f"socket.create_connection(({host!r}, {port}), 2)") in NO_WAY
            with pytest.raises(BlockingIOError):
                listener.accept()

    @pytest.mark.parametrize("family", ELSEWHERE, ids=["IPv4", "IPv6"])
    async def test_no_address_is_reached(self, pool: Pool, family: int) -> None:
        make = f"socket.socket({int(family)}, socket.SOCK_{{}})"
        to = "socket.getaddrinfo({!r}, 53, flags=socket.AI_NUMERICHOST)[0][4]"
        hosts = ELSEWHERE[family]
        near = [host for host in hosts if host.startswith(("ff0", "22", "25"))]  # TCP has no groups
        tries = [f"{make.format('STREAM')}.connect({to.format(host)})" for host in hosts if host not in near]
        tries += [f"{make.format('DGRAM')}.connect({to.format(host)})" for host in hosts]
        tries += [f"{make.format('DGRAM')}.sendto(b'x', {to.format(host)})" for host in hosts]
        answers = await self.attempts(pool, *tries)
        assert {call: answer for call, answer in answers.items() if answer not in NO_WAY} == {}

    async def test_names_are_not_resolved(self, pool: Pool) -> None:
        code = (
            "import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept socket.gaierror: set_result('refused')"
        )
        assert await pool.result(code) == "refused"

    @needs("filters_calls")
    async def test_socket_families_that_leave_the_sandbox_are_refused(self, pool: Pool) -> None:
        makes = [f"socket.socket({number}, socket.SOCK_DGRAM)" for number in LEAVING.values()]
        makes += [f"socket.socketpair({family})" for family in ("socket.AF_INET", "socket.AF_INET6")]
        assert await self.attempts(pool, *makes) == dict.fromkeys(makes, "EAFNOSUPPORT")

    @needs("filters_calls", "loopback")
    async def test_only_tcp_and_udp_are_spoken(self, pool: Pool) -> None:
        """For others the kernel may start `modprobe` on the host."""
        assert await pool.result(MAKES) == sorted([*UNIX_SOCKETS, *INTERNET_SOCKETS])
        # Where the kernel would say something else after that.
        answers = {"socket.socket(2, 3)": "EACCES", "socket.socket(2, 5)": "EPROTONOSUPPORT"}
        assert await self.attempts(pool, *answers) == answers

    @needs("filters_calls", "loopback")
    async def test_options_that_act_on_the_machine_or_on_other_hosts_do_not_exist(self, pool: Pool) -> None:
        calls = {
            what: f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt({level}, {option}, bytes(64))"
            for what, (level, option) in OPTIONS.items()
        }
        answers = await self.attempts(pool, *calls.values())
        assert {what: answers[call] for what, call in calls.items()} == dict.fromkeys(calls, "ENOPROTOOPT")

    @needs("loopback", "seen_by_host")
    async def test_buffers_of_connections_are_small(self, pool: Pool) -> None:
        """The machine has only so much for all of them (net.ipv4.tcp_mem)."""
        assert await pool.result(UNREAD) <= 1 << 19

    @needs("loopback")
    async def test_ports_of_neighbours_are_neither_seen_nor_reached_nor_in_the_way(self, pool: Pool) -> None:
        async with self.beside(pool, LISTEN):
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))[: 1 + HAS_IPV6]:
                make = f"socket.socket({int(family)}, socket.SOCK_{{}})"
                connect = f"{make.format('STREAM')}.connect(({host!r}, 4711))"
                send = f"[(s := {make.format('DGRAM')}).connect(({host!r}, 4711)), s.send(b'x'), s.recv(1)]"
                binds = [f"{make.format(kind)}.bind(({host!r}, 4711))" for kind in ("STREAM", "DGRAM")]
                look = "any(':1267 ' in open(f'/proc/net/{name}').read() for name in ('tcp', 'udp', 'tcp6', 'udp6'))"
                answers = await self.attempts(pool, connect, send, look, *binds)
                assert (answers[connect], answers[send]) == ("ECONNREFUSED", "ECONNREFUSED")
                assert answers[look] in ("False", "ENOENT")
                assert [answers[bind] for bind in binds] == ["None", "None"]

    async def test_abstract_sockets_of_the_host_are_not_reached(self, pool: Pool) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0airlock-test-canary")
            listener.listen()
            answer = await self.attempt(pool, "socket.socket(socket.AF_UNIX).connect('\\0airlock-test-canary')")
            assert answer in ("EPERM", "ECONNREFUSED")

    async def test_abstract_sockets_of_neighbours_are_neither_seen_nor_reached_nor_in_the_way(self, pool: Pool) -> None:
        async with self.beside(pool, BIND):
            connect = "socket.socket(socket.AF_UNIX).connect('\\0neighbour')"
            look = "'neighbour' in open('/proc/net/unix').read()"
            bind = "socket.socket(socket.AF_UNIX).bind('\\0neighbour')"
            answers = await self.attempts(pool, connect, look, bind)
            assert answers[connect] in ("EPERM", "ECONNREFUSED")
            assert answers[look] in ("False", "ENOENT")
            assert answers[bind] == "None"

    @needs("loopback")
    async def test_networks_tell_nothing_of_other_executions(self, pool: Pool) -> None:
        fresh = await pool.result(LOOK)
        assert fresh
        for _ in range(3):
            assert (await pool.run(USE)).error is None
            assert await pool.result(LOOK) == fresh
