"""No layer is decoration: without it an attack succeeds that is held with it. And no attack is empty: it can succeed.

Where several layers hold the same attack, it succeeds without all of them, and each holds it alone.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable
from airlock_local import box, filesystem
from airlock_local.box import EVERY_LAYER

pytestmark = pytest.mark.anyio
HOLD = "import time\nprint('there', flush=True)\ntime.sleep(60)"


# --- the attacks: each returns whether it succeeded ---------------------------------------------------------------


async def uses_more_memory_than_it_may(local: Any) -> bool:
    return bool((await local.run("x = bytearray(200 << 20)")).error_type != "memory_limit")


async def finds_a_semaphore_of_a_neighbour(local: Any) -> bool:
    libc = "import ctypes\nlibc = ctypes.CDLL(None)\n"
    await neighbour(local, f"{libc}assert libc.semget(4711, 1, 0o1666) >= 0")
    return bool(await local.result(f"{libc}set_result(libc.semget(4711, 1, 0o666) >= 0)"))


async def finds_a_file_of_a_former_execution(local: Any) -> bool:
    await local.run("open('/tmp/canary', 'w').close()")
    await local.settle()
    await local.run("pass")
    ran = await local.run("import os; set_result(os.path.exists('/tmp/canary'))")
    return bool(ran.outcome.result)  # none where nothing can be written


async def sees_processes_of_a_neighbour(local: Any) -> bool:
    await neighbour(local)
    return bool(await local.result("import os; set_result(len([p for p in os.listdir('/proc') if p.isdigit()]) > 2)"))


async def uses_up_the_processes_of_a_neighbour(local: Any) -> bool:
    for _ in range(3):  # twice what one may have is what the kernel allows before its cgroup refuses
        await neighbour(
            local,
            "import os, time\n"
            "try:\n"
            "    for _ in range(18):\n"
            "        if os.fork() == 0: time.sleep(60)\n"
            "except OSError: pass",
        )
    return (await local.run("import os\nif os.fork() == 0: os._exit(0)")).error is not None


async def ends_the_pool_by_a_descriptor_of_the_zygote(local: Any) -> bool:
    lost = await neighbour(local)
    await local.run("""
import socket
for number in range(4, 1024):
    try:
        socket.socket(fileno=number).shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
""")
    return await dies(lost)


async def finds_what_a_former_execution_did_to_stdin(local: Any) -> bool:
    code = "import fcntl; seen = fcntl.fcntl(0, 3); fcntl.fcntl(0, 4, 2048); set_result(seen & 2048)"  # O_NONBLOCK
    return any([await local.result(code) for _ in range(2)])


async def kills_its_process_group(local: Any) -> bool:
    lost = await neighbour(local)
    await local.run("import os; os.kill(0, 9)")
    return await dies(lost)


async def kills_every_process_in_sight(local: Any) -> bool:
    lost = await neighbour(local)
    await local.run("import os; os.kill(-1, 9)")
    return await dies(lost)


async def opens_more_files_than_it_may(local: Any) -> bool:
    return (await local.run("import os\nfor _ in range(100): os.dup(1)")).error is None


async def switches_off_the_loopback(local: Any) -> bool:
    code = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 0))  # SIOCSIFFLAGS
"""
    return (await local.run(code)).error is None


async def talks_to_a_neighbour(local: Any) -> bool:
    await neighbour(local, "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0canary'); s.listen()")
    code = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0canary')"
    return (await local.run(code)).error is None


async def finds_the_name_of_a_neighbours_socket(local: Any) -> bool:
    await neighbour(local, "import socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0canary')")
    return bool(await local.result("set_result('canary' in open('/proc/net/unix').read())"))


async def makes_a_user_namespace(local: Any) -> bool:
    unshare = 272 if os.uname().machine == "x86_64" else 97
    return bool(await local.result(f"import ctypes; set_result(ctypes.CDLL(None).syscall({unshare}, 0x10000000) == 0)"))


async def reads_a_file_of_root(local: Any) -> bool:
    return (await local.run("open('/canary/secret').read()")).error is None


async def reads_a_file_of_the_host(local: Any) -> bool:
    return bool(await local.result("set_result(open('/etc/passwd').read())") == Path("/etc/passwd").read_text())


async def finds_packages_of_the_system(local: Any) -> bool:
    masks = json.dumps(local.backend._box._config["masks"])
    code = "import json, os\nset_result(any(os.path.isdir(p) and os.listdir(p) for p in json.loads(settings.get('m'))))"
    return bool(await local.result(code, settings={"m": masks}))


async def reaches_a_service_of_the_host(local: Any) -> bool:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 2)"
        return (await local.run(code)).error is None


async def neighbour(local: Any, code: str = "") -> asyncio.Task[Any]:
    """Have something run beside the attacker."""
    task, run = local.start(f"{code}\n{HOLD}")
    async with asyncio.timeout(10):
        await run.until(lambda run: run.stdout)
    return task  # type: ignore[no-any-return]


async def dies(task: asyncio.Task[Any]) -> bool:
    await asyncio.wait({task}, timeout=1)
    return task.done()


# --- what holds them ----------------------------------------------------------------------------------------------


def step(*changes: tuple[str, str, str]) -> Callable[[dict[str, str]], None]:
    """Leave a step out that is no layer: by changing the text that is sent to the box."""

    def change(sources: dict[str, str]) -> None:
        for module, line, without in changes:
            name = f"airlock_local.sandbox.{module}"
            assert sources[name].count(line) == 1, line
            sources[name] = sources[name].replace(line, without)

    return change


STEPS = {
    "become_nobody": step(("box_root", 'config["uids"] is None', "True")),
    "own root": step(("box_root", "build_root(binds, config)", "pass")),
    "read-only root": step(("box_root", 'syscalls.mount(None, "/", None, read_only)', "pass")),
    "masks": step(("box_root", "cover(ROOT + path)", "pass")),
    "own network of the box": step(
        ("box_root", "        | syscalls.NEWNET\n", ""),
        ("box_root", "loopback.bring_up()", "pass"),
        ("networks", "not self._is_empty(network)", "False"),  # who is in the host's network does not come back there
    ),
    "only in own networks": step(("networks", "return errno.EPERM", "return 0")),
    "own pid namespace": step(("maker", "syscalls.unshare(syscalls.NEWPID)", "pass")),
}
root = pytest.mark.skipif(os.geteuid() != 0, reason="only where the server is root")
Attack = Callable[[Any], Awaitable[bool]]
HELD_BY: list[tuple[Attack, tuple[str, ...]]] = [
    (uses_more_memory_than_it_may, ("join_cgroups",)),
    (finds_a_semaphore_of_a_neighbour, ("own_namespaces",)),
    (finds_a_file_of_a_former_execution, ("own_scratch", "read-only root", "own_uid")),
    (sees_processes_of_a_neighbour, ("own_proc",)),
    (uses_up_the_processes_of_a_neighbour, ("own_user", "own_uid")),
    (ends_the_pool_by_a_descriptor_of_the_zygote, ("only_own_descriptors",)),
    (finds_what_a_former_execution_did_to_stdin, ("only_own_descriptors",)),
    (kills_its_process_group, ("own_session", "landlock", "own_uid")),
    (kills_every_process_in_sight, ("own pid namespace", "landlock", "own_uid")),
    (opens_more_files_than_it_may, ("resource_limits",)),
    (switches_off_the_loopback, ("no_capabilities", "own_user")),
    (talks_to_a_neighbour, ("own_network", "landlock")),
    (finds_the_name_of_a_neighbours_socket, ("own_network",)),
    (makes_a_user_namespace, ("system_call_filter",)),
    (reads_a_file_of_root, ("become_nobody", "own_uid")),
    (reads_a_file_of_the_host, ("own root",)),
    (finds_packages_of_the_system, ("masks",)),
    (reaches_a_service_of_the_host, ("own network of the box", "own_network", "only in own networks")),
]
NEED_ROOT = {uses_more_memory_than_it_may, finds_a_semaphore_of_a_neighbour, reads_a_file_of_root}


@pytest.fixture
async def up_without(
    make_local: Callable[..., Awaitable[Any]],
    leave_out: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[[Collection[str]], Awaitable[Any]]:
    """Bring up a backend that lacks what is named. It has a file that root alone may read at /canary."""
    (tmp_path / "secret").touch(0o600)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(box, "visible", lambda packages: _with_canary(filesystem.visible(packages), tmp_path))

    async def up(names: Collection[str]) -> Any:
        if "own root" in names and not (Path("/workspace").is_dir() and _is_for_all(Path(sys.base_prefix))):
            pytest.skip("in the host's own tree there is no /workspace, or only root reaches this interpreter")
        leave_out(*(name for name in names if name not in STEPS))
        sources = box.sandbox_sources()
        for name in STEPS.keys() & names:
            STEPS[name](sources)
        monkeypatch.setattr(box, "sandbox_sources", lambda: sources)
        local = await make_local(isolation="reduced", memory="64MiB", processes=20, files=64)
        # One after the other: without namespaces of their own they would disturb each other.
        await local.backend.scale(2)
        return local

    return up


def _is_for_all(path: Path) -> bool:
    return os.geteuid() != 0 or all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _with_canary(view: filesystem.View, canary: Path) -> filesystem.View:
    return replace(view, binds=[*view.binds, (str(canary), "/canary")])


CASES = [
    pytest.param(attack, layers, id=attack.__name__, marks=root if attack in NEED_ROOT else [])
    for attack, layers in HELD_BY
]


@pytest.mark.parametrize(("attack", "layers"), CASES)
async def test_an_attack_succeeds_without_what_holds_it(
    up_without: Any, attack: Attack, layers: tuple[str, ...]
) -> None:
    assert await attack(await up_without(layers))


@pytest.mark.parametrize(("attack", "layers"), CASES)
async def test_the_attack_is_held_by_the_whole(up_without: Any, attack: Attack, layers: tuple[str, ...]) -> None:
    assert not await attack(await up_without(()))


@pytest.mark.parametrize(
    ("attack", "layers", "one"),
    [
        pytest.param(attack, layers, one, id=f"{attack.__name__}-{one}", marks=root if one == "own_uid" else [])
        for attack, layers in HELD_BY
        for one in layers
        if len(layers) > 1 and attack is not reads_a_file_of_root
    ],
)
async def test_the_attack_is_held_by_one_layer_alone(
    up_without: Any, attack: Attack, layers: tuple[str, ...], one: str
) -> None:
    assert not await attack(await up_without({*layers} - {one}))


def test_every_layer_has_its_attack() -> None:
    """`no_new_privileges` has none of its own: the kernel refuses the two after it where it is missing."""
    held = {name for _, layers in HELD_BY for name in layers}
    assert held == {*EVERY_LAYER, *STEPS} - {"no_new_privileges"}


@root
async def test_root_of_the_host_can_be_nobody_inside(up_without: Any) -> None:
    """Where the box is not made nobody, there are no uids to be for a script, and so no sandbox."""
    with pytest.raises(BackendUnavailable, match="own_uid"):
        await up_without({"become_nobody"})


async def test_without_no_new_privileges_there_is_no_sandbox(up_without: Any) -> None:
    with pytest.raises(BackendUnavailable, match="landlock_restrict_self"):
        await up_without({"no_new_privileges"})


async def test_without_no_new_privileges_the_filter_is_refused_too(up_without: Any) -> None:
    with pytest.raises(BackendUnavailable, match="system_call_filter"):
        await up_without({"no_new_privileges", "landlock"})
