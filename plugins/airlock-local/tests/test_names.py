"""Names of hosts: a script finds its own loopback by name, and hears that there is nothing else."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def test_localhost_is_the_scripts_own_loopback(local: Any) -> None:
    code = """
import socket
with socket.create_server(("localhost", 0)) as server:
    with socket.create_connection(("localhost", server.getsockname()[1])):
        set_result([socket.gethostbyname("localhost"), socket.gethostname()])
"""
    assert await local.result(code) == ["127.0.0.1", "sandbox"]


async def test_a_name_that_is_looked_up_in_vain_is_told_although_the_script_goes_on(local: Any) -> None:
    code = """
import socket
try:
    socket.getaddrinfo("example.org", 443)
except socket.gaierror as error:
    set_result(error.errno == socket.EAI_AGAIN)
"""
    ran = await local.run(code)
    assert ran.result is True
    assert ran.stderr == "airlock: this project has no network\n"
