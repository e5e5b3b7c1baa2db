"""Every kind of network that a script may try, and sockets that need no network."""

from __future__ import annotations

import socket
from pathlib import Path

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
NO_WAY = ("ENETUNREACH", "EACCES", "EPERM", "EADDRNOTAVAIL", "ECONNREFUSED", "EAFNOSUPPORT")
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

    async def test_no_address_is_reached(self, pool: Pool) -> None:
        connects = [
            f"socket.socket(socket.AF_INET, socket.SOCK_{kind}).connect(({address!r}, 53))"
            for address in ("169.254.169.254", "10.0.0.1", "172.17.0.1", "8.8.8.8")
            for kind in ("STREAM", "DGRAM")
        ]
        answers = await self.attempts(pool, *connects)
        assert set(answers.values()) <= {"ENETUNREACH", "EACCES", "EPERM"}

    async def test_names_are_not_resolved(self, pool: Pool) -> None:
        code = (
            "import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept socket.gaierror: set_result('refused')"
        )
        assert await pool.result(code) == "refused"

    @needs("filters_calls")
    async def test_socket_families_that_leave_the_sandbox_are_refused(self, pool: Pool) -> None:
        makes = {name: f"socket.socket({number}, socket.SOCK_DGRAM)" for name, number in LEAVING.items()}
        answers = await self.attempts(pool, *makes.values())
        assert {name: answers[make] for name, make in makes.items()} == dict.fromkeys(makes, "EAFNOSUPPORT")

    @needs("filters_calls")
    async def test_sockets_that_lead_to_the_internet_are_refused_as_what_they_are(self, pool: Pool) -> None:
        makes = [
            f"socket.{call}(socket.{family}, socket.{kind})"
            for call in ("socket", "socketpair")
            for family in ("AF_INET", "AF_INET6")
            for kind in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW")
        ]
        assert await self.attempts(pool, *makes) == dict.fromkeys(makes, "ENETUNREACH")

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

    async def test_counters_of_the_network_tell_nothing_of_other_executions(self, pool: Pool) -> None:
        look = """
import re
found = {}
for name in ("dev", "netstat", "snmp", "snmp6", "sockstat"):
    try: found[name] = re.sub("(alloc|mem|memory|orphan) [0-9]+", "", open(f"/proc/net/{name}").read())  # the machine's
    except OSError: pass
set_result(found)
"""
        use = """
import socket
for family in socket.AF_INET, socket.AF_INET6, socket.AF_UNIX:
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        try: socket.socket(family, kind).connect(("10.0.0.1", 9))
        except (OSError, TypeError): pass
"""
        fresh = await pool.result(look)
        assert fresh
        for _ in range(3):
            await pool.run(use)
            assert await pool.result(look) == fresh
