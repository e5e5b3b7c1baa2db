"""What a box shows of the host beside files: sockets in the trees that it shares, and what /proc tells.

Each is tried again without what closes it: there it must show.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable
from airlock.testing.attacks.files import Files
from airlock.worker import syscalls
from airlock_local import box, filesystem

pytestmark = pytest.mark.anyio

Make = Callable[..., Awaitable[Any]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A socket that every user may connect to, in a tree that boxes share with the host."""
    tree = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="airlock test "))  # the private /tmp would hide it
    tree.chmod(0o755)
    path = str(tree / "socket")
    monkeypatch.setattr(filesystem, "TREES", (*filesystem.TREES, str(tree)))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        yield path
    shutil.rmtree(tree)


async def connects(local: Any, path: str) -> bool:
    code = f"""
import socket
try: socket.socket(socket.AF_UNIX).connect({path!r})
except OSError as error: print(error)
else: set_result(True)
"""
    return await local.result(code) is True


async def test_a_socket_in_a_shared_tree_does_not_answer(make_local: Make, service: str) -> None:
    assert not await connects(await make_local(), service)


@pytest.mark.skipif(syscalls.landlock_version() >= 9, reason="Landlock holds it, too")
async def test_without_its_cover_the_socket_answers(
    make_local: Make, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "_sockets", lambda _: [])
    assert await connects(await make_local(), service)


@pytest.fixture
def uncovered_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes that leave a step of `own_proc` out."""
    sources = box.sandbox_sources()
    name, step = "airlock_local.sandbox.layers", "syscalls.mount(nothing, path, None, MS_BIND)"
    assert sources[name].count(step) == 1
    sources[name] = sources[name].replace(step, "pass")
    monkeypatch.setattr(box, "sandbox_sources", lambda: sources)


async def test_without_its_covers_proc_tells_of_the_host(make_local: Make, uncovered_proc: None) -> None:
    local = await make_local(isolation="reduced")
    with pytest.raises(AssertionError):
        await Files().test_proc_tells_nothing_of_the_hosts_locks_devices_and_file_systems(local)


async def test_the_self_test_notices_missing_covers(make_local: Make, uncovered_proc: None) -> None:
    with pytest.raises(BackendUnavailable, match="no files of the host's in /proc"):
        await make_local()
