"""The part of `BackendContract` about what a script must not see of other scripts and of the host."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from airlock.backends import Backend

from .base import BackendBench
from .capabilities import needs


@pytest.mark.anyio
class Isolation(BackendBench):
    """Each execution gets a fresh process, and sees nothing of the host."""

    @needs("runs_code")
    @pytest.mark.parametrize(
        ("leave", "find"),
        [
            ("import json; json.left = 1", "import json; set_result(hasattr(json, 'left'))"),
            ("import builtins; builtins.left = 1", "import builtins; set_result(hasattr(builtins, 'left'))"),
            ("left = 1", "set_result('left' in globals())"),
            ("import os; os.environ['LEFT'] = '1'", "import os; set_result('LEFT' in os.environ)"),
        ],
        ids=["module", "builtins", "global", "environment"],
    )
    async def test_state_does_not_reach_the_next_script(self, shared: Backend[Any], leave: str, find: str) -> None:
        await self.result_of(shared, leave)
        assert await self.result_of(shared, find) is False

    @needs("runs_code", "private_tmp")
    @pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/var/tmp", "."])  # noqa: S108 - the folders to test
    async def test_files_do_not_reach_the_next_script(self, shared: Backend[Any], folder: str) -> None:
        path = f"{folder}/airlock-contract-{os.urandom(8).hex()}"
        leave = f"try:\n    open({path!r}, 'w').close()\nexcept OSError:\n    pass"
        await self.result_of(shared, leave)
        try:
            assert await self.result_of(shared, f"import os; set_result(os.path.exists({path!r}))") is False
        finally:
            if os.path.exists(path):  # noqa: ASYNC240, PTH110 - the script could write on the host
                os.unlink(path)  # noqa: PTH108

    @needs("runs_code", "private_tmp")
    async def test_tmp_can_be_written(self, shared: Backend[Any]) -> None:
        code = "import tempfile\nwith tempfile.TemporaryFile() as file: set_result(file.write(b'abc'))"
        assert await self.result_of(shared, code) == 3

    @needs("runs_code")
    async def test_scripts_run_at_once_and_do_not_see_each_other(self) -> None:
        code = "import json; json.own = {!r}; llm.complete('wait'); set_result(json.own)"
        assert await self.results_at_once(code.format("a"), code.format("b")) == ["a", "b"]

    @needs("runs_code")
    async def test_environment_of_the_host_cannot_be_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_CONTRACT_CANARY", "canary-of-the-host")
        code = """
import os
seen = [f'{key}={value}' for key, value in os.environ.items()]
for pid in os.listdir('/proc') if os.path.isdir('/proc') else ():
    try:
        with open(f'/proc/{pid}/environ', 'rb') as file:
            seen.append(file.read().decode(errors='replace'))
    except OSError:
        pass
set_result([text for text in seen if 'canary-of-the-host' in text])
"""
        async with self.up() as backend:
            assert await self.result_of(backend, code) == []

    @needs("runs_code", "no_network")
    async def test_server_on_this_machine_cannot_be_reached(self, shared: Backend[Any]) -> None:
        reached = asyncio.Event()
        server = await asyncio.start_server(lambda *_: reached.set(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        code = f"""
import socket
try:
    socket.create_connection(('127.0.0.1', {port}), timeout=5)
except OSError:
    set_result('refused')
"""
        async with server:
            assert await self.result_of(shared, code) == "refused"
        assert not reached.is_set()

    @needs("runs_code", "no_network")
    async def test_network_has_no_route_to_anywhere(self, shared: Backend[Any]) -> None:
        code = """
import errno, socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))
except OSError as error:
    set_result(errno.errorcode[error.errno])
"""
        # 192.0.2.1 belongs to no host. Connecting a datagram socket sends nothing: it fails only without a route.
        refused = {"ENETUNREACH", "EHOSTUNREACH", "EPERM", "EACCES", "EAFNOSUPPORT"}
        assert await self.result_of(shared, code) in refused
