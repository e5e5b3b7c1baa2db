"""The attacks on networks can fail: they succeed without what holds them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airlock.sandbox import sockets
from airlock.testing.attacks.network import Network
from airlock_local import box

pytestmark = pytest.mark.anyio

MakeLocal = Callable[..., Awaitable[Any]]
# Each process has less than it may, and all together have more than one.
HOLD = """
import os, signal, socket
reads, writes = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        try: kept = [socket.socket() for _ in range(30)]
        except OSError: kept = []
        os.write(writes, b"%d\\n" % len(kept))
        signal.pause()
file = open(reads)
set_result(sum(int(file.readline()) for _ in range(3)))
"""


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Change the text of a module that is sent to the box."""

    def change(module: str, old: str, new: str) -> None:
        sources = box.sandbox_sources()
        assert sources[module].count(old) == 1
        sources[module] = sources[module].replace(old, new)
        monkeypatch.setattr(box, "sandbox_sources", lambda: sources)

    return change


async def fails(attack: Callable[[Any, Any], Awaitable[None]], local: Any) -> bool:
    try:
        await attack(Network(), local)
    except AssertionError:
        return True
    return False


async def finds_what_others_did(local: Any) -> bool:
    look = "set_result(open('/proc/net/snmp').read())"
    fresh = await local.result(look)
    await local.run("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))")
    await local.settle()
    await local.backend.scale(6)  # more than there were: one of them is where that was
    return any([await local.result(look) != fresh for _ in range(6)])


async def test_a_network_that_is_used_again_tells_what_others_did(make_local: MakeLocal, change: Any) -> None:
    assert not await finds_what_others_did(await make_local())
    change("airlock_local.sandbox.networks", "network.is_used or ", "")
    assert await finds_what_others_did(await make_local())


async def test_an_execution_has_any_number_of_sockets_if_nobody_counts(make_local: MakeLocal, change: Any) -> None:
    assert await (await make_local(files=64)).result(HOLD) < 70
    change(
        "airlock_local.sandbox.networks",
        "if not network.allowance:\n            # Those",
        "if False:\n            # Those",
    )
    assert await (await make_local(files=64)).result(HOLD) == 90


async def test_buffers_of_connections_grow_without_settings(make_local: MakeLocal, change: Any) -> None:
    attack = Network.test_buffers_of_connections_are_small
    assert not await fails(attack, await make_local())
    change("airlock.worker.loopback", "in SETTINGS.items()", "in ()")
    assert await fails(attack, await make_local())


@pytest.mark.parametrize("number", range(7))
async def test_each_refusal_of_a_socket_or_an_option_is_needed(
    make_local: MakeLocal, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lines = list(sockets._lines((sockets.ANSWER, sockets.ASK)))
    refusals = [place for place, line in enumerate(lines) if line[0] == sockets.ANSWER and line[1] != sockets.ASK]
    assert len(refusals) == 7
    lines[refusals[number]] = (sockets.GO, 0, "allow")
    monkeypatch.setattr(sockets, "_lines", lambda make: tuple(lines))
    local = await make_local(isolation="reduced")
    attacks = (
        Network.test_socket_families_that_leave_the_sandbox_are_refused,
        Network.test_only_tcp_and_udp_are_spoken,
        Network.test_options_that_act_on_the_machine_or_on_other_hosts_do_not_exist,
    )
    assert [attack for attack in attacks if await fails(attack, local)]
