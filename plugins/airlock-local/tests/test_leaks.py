"""What a box shows of the host beside files: sockets in the trees that it shares, its name, and what /proc tells.

Each is tried again without what closes it: there it must show.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
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
def tree(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A tree that boxes share with the host."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="airlock test "))  # the private /tmp would hide it
    made.chmod(0o755)
    monkeypatch.setattr(filesystem, "TREES", (*filesystem.TREES, str(made)))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def service(tree: Path) -> Iterator[str]:
    """A socket that every user may connect to, in a tree that boxes share with the host."""
    path = str(tree / "a socket\v\x85")  # with what `str` takes for ends of lines
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        yield path


async def connects(local: Any, path: str) -> bool:
    code = f"""
import socket
import subprocess
import sys
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


async def test_who_binds_a_name_outside_cannot_have_a_file_covered(make_local: Make, tree: Path) -> None:
    (tree / "module.py").write_text("needed")
    elsewhere = tree.with_name(f"{tree.name} of another user")
    elsewhere.mkdir()
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{elsewhere}/module.py")
            shutil.rmtree(elsewhere)
            elsewhere.symlink_to(tree)
            local = await make_local()
        assert await local.result(f"set_result(open({str(tree / 'module.py')!r}).read())") == "needed"
    finally:
        elsewhere.unlink()


def leave_step_out(monkeypatch: pytest.MonkeyPatch, module: str, step: str) -> None:
    sources = box.sandbox_sources()
    name = f"airlock_local.sandbox.{module}"
    assert sources[name].count(step) == 1
    sources[name] = sources[name].replace(step, "pass")
    monkeypatch.setattr(box, "sandbox_sources", lambda: sources)


@pytest.fixture
def uncovered_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes that leave a step of `own_proc` out."""
    leave_step_out(monkeypatch, "layers", "syscalls.mount(cover, path, None, MS_BIND)")


async def test_a_script_does_not_know_the_hosts_names(local: Any) -> None:
    domain = "open('/proc/sys/kernel/domainname').read().strip()"
    assert await local.result(f"import os; set_result([os.uname().nodename, {domain}])") == ["sandbox", ""]


async def test_without_names_of_its_own_it_knows_it(make_local: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_step_out(monkeypatch, "box_root", "socket.sethostname(HOST_NAME)")
    assert await (await make_local()).result("import os; set_result(os.uname().nodename)") == os.uname().nodename


async def test_without_its_covers_proc_tells_of_the_host(make_local: Make, uncovered_proc: None) -> None:
    local = await make_local(isolation="reduced")
    with pytest.raises(AssertionError):
        await Files().test_proc_tells_nothing_of_the_hosts_locks_devices_and_file_systems(local)


async def test_the_self_test_notices_missing_covers(make_local: Make, uncovered_proc: None) -> None:
    with pytest.raises(BackendUnavailable, match="no files of the host's in /proc"):
        await make_local()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a server another /etc")
def test_the_hosts_time_zone_is_not_known(tmp_path: Path) -> None:
    """Python reads it at its start, when a box does not have an /etc of its own yet."""
    (etc := tmp_path / "etc").mkdir()
    for name in ("/etc/passwd", "/etc/group", "/etc/ld.so.cache"):
        shutil.copy(name, etc)
    shutil.copy("/usr/share/zoneinfo/Asia/Tokyo", etc / "localtime")
    (tmp_path / "airlock.yaml").write_text("projects: {p: {backend: local, replicas: 1}}\n")
    (tmp_path / "script").write_text("import time; set_result([*time.tzname, time.timezone])")
    run = [sys.executable, "-c", "from airlock.cli import main; main()", "run", "script"]
    command = ["unshare", "-m", "sh", "-c", 'mount --bind etc /etc && date +%Z && exec "$@"', "sh", *run]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True, timeout=60)
    zone, _, result = done.stdout.partition("\n")
    assert (zone, json.loads(result)) == ("JST", ["UTC", "UTC", 0]), done.stderr
