"""Networks are used again, but not those in which an internet socket was made."""

import asyncio
import errno
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

# SO_NETNS_COOKIE: as long as the machine runs, no other network gets it.
COOKIE = "import os, socket\nown = int.from_bytes(socket.socketpair()[0].getsockopt(1, 71, 8), 'little')\n"
LOOK = f"{COOKIE}set_result(own)"
MAKE = "socket.socket().close()"
MADE = {
    "at once closed": MAKE,
    "IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "by a thread": f"import threading\nthread = threading.Thread(target=lambda: {MAKE})\nthread.start(); thread.join()",
    "by a child": f"if os.fork() == 0: {MAKE}; os._exit(0)\nos.wait()",
    "by an orphan": f"""
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid(); os.close(1)
        {MAKE}
        open("/tmp/made", "w")
    os._exit(0)
while not os.path.exists("/tmp/made"): pass
""",
    "by another program": f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import socket; {MAKE}'])",
    "and refused": "try: socket.socket(2, 1, 132)\nexcept OSError: socket.socket()",
}
NOT_MADE = {
    "none": "",
    "others": "socket.socketpair(); socket.socket(socket.AF_UNIX)",
    "none that is allowed": "for kind in 3, 5:\n    try: socket.socket(2, kind)\n    except OSError: pass",
}
BY_ONE = """
import socket
kept = []
try:
    while True: kept.append(socket.socket())
except OSError as error: set_result([error.errno, len(kept)])
"""
BY_CHILDREN = """
import os, socket, time
reads, writes = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        kept = []
        try:
            while True: kept.append(socket.socket())
        except OSError as error: os.write(writes, b"%d %d\\n" % (error.errno, len(kept)))
        time.sleep(60)
file = open(reads)
told = [tuple(map(int, file.readline().split())) for _ in range(8)]
set_result([max(error for error, _ in told), sum(number for _, number in told)])
"""
# Nobody holds a client any more, but the kernel does, until it only remembers it (TIME_WAIT), after a moment. And it
# holds what the server has not accepted. So it is the kernel that says how many there are.
BY_NOBODY = """
import socket
server = socket.create_server(("127.0.0.1", 0), backlog=1000)
try:
    while True:
        with socket.create_connection(server.getsockname()) as client: client.sendall(bytes(1000))
except OSError as error: set_result([error.errno, int(open("/proc/self/net/sockstat").read().split()[2])])
"""
FLOOD = """
import os, socket
print(1, flush=True)
for _ in range(10):
    if os.fork() == 0: break
while True: socket.socket().close()
"""


@pytest.mark.parametrize("code", MADE.values(), ids=MADE)
async def test_a_network_in_which_an_internet_socket_was_made_is_not_used_again(local: Any, code: str) -> None:
    seen = []
    for _ in range(3):
        seen.append(await local.result(f"{COOKIE}{code}\nset_result(own)"))
        await local.settle()
        seen.append(await local.result(LOOK))
        await local.settle()
    assert all(network not in seen[place + 1 :] for place, network in enumerate(seen) if place % 2 == 0)


@pytest.mark.parametrize("code", NOT_MADE.values(), ids=NOT_MADE)
async def test_other_networks_are(local: Any, code: str) -> None:
    seen = set()
    for _ in range(6):
        seen.add(await local.result(f"{COOKIE}{code}\nset_result(own)"))
        await local.settle()
    assert len(seen) <= 2


@pytest.mark.parametrize("code", [BY_ONE, BY_CHILDREN, BY_NOBODY], ids=["one", "children", "nobody"])
async def test_all_sockets_of_an_execution_count_together(local: Any, code: str) -> None:
    """What the kernel has for all depends on their number: buffers, and closed connections with something unread."""
    error, number = await local.result(code)
    assert error == errno.EMFILE
    assert 240 <= number <= 256 + 8  # limits.files, and calls that were let go when others were counted


async def test_a_script_that_makes_sockets_all_the_time_does_not_hold_up_others(make_local: Any) -> None:
    local = await make_local(replicas=2)
    task, run = local.start(FLOOD)
    async with asyncio.timeout(10):
        await run.until(lambda run: run.stdout)
    async with asyncio.timeout(20):
        for _ in range(10):
            assert await local.result(f"{COOKIE}{MAKE}\nset_result(1)") == 1
    assert not task.done()
    task.cancel()


async def test_the_loopback_has_no_link_with_others(local: Any) -> None:
    """gVisor lets such a packet go, to its own loopback."""
    code = """
import errno, socket
try: socket.socket(socket.AF_INET6).connect(("fe80::1", 53, 0, 1))
except OSError as error: set_result(errno.errorcode[error.errno])
"""
    assert await local.result(code) in ("ENETUNREACH", "EAFNOSUPPORT")
