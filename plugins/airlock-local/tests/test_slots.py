"""A slot is used again only if its script left nothing, and then the next script finds nothing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.testing.attacks.leftovers import IN_FLIGHT, LEAVES_NOTHING, LEAVES_SOMETHING, PROBE, SYSV
from airlock_local import box, box_config, slots

After = Callable[..., Awaitable[Any]]
pytestmark = pytest.mark.anyio


@pytest.fixture(params=["C", "Python"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python":
        monkeypatch.setattr(box_config, "LIBRARY", Path("/nonexistent"))
    elif not box_config.LIBRARY.exists():
        pytest.skip("template.c is not compiled here")


@pytest.fixture
async def local(loop: None, make_local: Callable[..., Awaitable[Any]]) -> Any:
    return await make_local()


@pytest.mark.parametrize("code", LEAVES_SOMETHING.values(), ids=LEAVES_SOMETHING)
async def test_who_leaves_something_has_had_the_slot_alone(local: Any, after: After, code: str) -> None:
    if SYSV in code and local.backend._groups is None:
        pytest.skip("without a control group, System V IPC is refused")
    assert await after(local, code, "set_result(1)") is None


@pytest.mark.parametrize("code", LEAVES_NOTHING.values(), ids=LEAVES_NOTHING)
async def test_who_leaves_nothing_is_followed_by_one_who_finds_nothing(local: Any, after: After, code: str) -> None:
    fresh = await local.result(PROBE)
    assert await after(local, code, PROBE) == fresh


async def test_sockets_in_flight_are_gone_or_nobody_else_has_the_slot(local: Any, after: After) -> None:
    fresh = await local.result(PROBE)
    for _ in range(3):
        assert await after(local, IN_FLIGHT, PROBE) in (None, fresh)


async def test_slots_that_can_be_used_again_are_made_where_that_is_worth_it(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "TRIAL", 3)
    local = await make_local()

    async def are_reused(code: str) -> list[bool]:
        found = []
        for _ in range(20):
            await local.settle()
            found.append(local.backend._idle[0]._slot.is_reused)
            await local.run(code)
        return found

    assert all((await are_reused("pass"))[-5:])
    assert sum((await are_reused("open('/tmp/x', 'w')"))[-9:]) <= 3
    await are_reused("pass")
    assert all((await are_reused("pass"))[-5:])


async def test_limits_processes_does_not_count_the_template(make_local: Callable[..., Awaitable[Any]]) -> None:
    code = """
import os, time
children = 0
try:
    while os.fork() or time.sleep(60): children += 1
except BlockingIOError: set_result(children)
"""
    counts = {
        reuse: await (await make_local(processes=10, reuse=reuse)).result(code) for reuse in ("pristine", "never")
    }
    assert counts["pristine"] == counts["never"]


async def test_a_template_without_a_script_may_be_asked_where_it_is(make_local: Callable[..., Awaitable[Any]]) -> None:
    """For a moment, it has none: then the zygote must find nobody, and live on."""
    local = await make_local()
    box = local.backend._box
    for _ in range(50):
        await local.settle()
        slot = local.backend._idle[0]._slot
        box.ask_for_place(slot._number)  # its script ends by that
        for _ in range(20):
            box.ask_for_place(slot._number)
            await asyncio.sleep(0.0005)
    await asyncio.sleep(0.1)
    await local.settle()
    assert await local.result("set_result(1)") == 1
    assert local.backend._box is box


async def test_isolation_says_whether_sandboxes_are_used_again(make_local: Callable[..., Awaitable[Any]]) -> None:
    assert "; sandboxes: used again by scripts that leave nothing (in " in (await make_local()).backend.isolation
    assert "; sandboxes: a new one for each script" in (await make_local(reuse="never")).backend.isolation


# What is taken out of the check, and whose leftovers it no longer finds.
MUTATIONS = {
    "the script's file": (
        ("self._is_the_same_file(Folder.at(self._script))", "True"),
        ("    return stat(script, &now->script);", "    return 0;"),
        ("the time of an access", "the mode of its own file"),
    ),
    "/workspace": (
        ("FOLDERS = (WORKSPACE, ", "FOLDERS = ("),
        ('"/workspace", ', '"/usr", '),
        ("the mode of the working folder",),
    ),
    "/tmp": (
        ('FOLDERS = (WORKSPACE, "/tmp", ', 'FOLDERS = (WORKSPACE, "/usr", '),
        ('"/workspace", "/tmp", ', '"/workspace", "/usr", '),
        ("the mode of /tmp",),
    ),
    "/dev/shm": (
        ('"/tmp", "/dev/shm", "/dev/pts', '"/tmp", "/dev/pts'),
        ('"/dev/shm", "/dev/pts', '"/usr", "/dev/pts'),
        ("the times of a folder",),
    ),
    "inodes": (
        ('FILE_SYSTEMS = ("/tmp", "/dev/shm")', "FILE_SYSTEMS = ()"),
        ("if (next_inode(file_systems[i]) != inodes[i])", "if (0)"),
        ("a file without a name", "a file without a name in /dev/shm"),
    ),
    "sockets": (
        ('os.pread(self._sockets, 64, 0).startswith(b"sockets: used 0\\n")', "True"),
        ('!strncmp(text, "sockets: used 0\\n", 16)', "1"),
        ("sockets in flight",),
    ),
    "what is asked for": (
        ("resource.getrlimit(OFFLINE)[0] == 0", "True"),
        ("offline.rlim_cur == 0", "1"),
        ("an internet socket", "a System V segment", "a System V queue that it removed"),
    ),
    "the pid": (
        ("os.getpid() != FIRST_PID + number", "False"),
        ("getpid() != pid", "0"),
        ("a process that has ended", "a thread that has ended"),
    ),
}

MUTATED = [pytest.param(*both, name, id=name) for *both, names in MUTATIONS.values() for name in names]


@pytest.mark.parametrize(("python", "c", "name"), MUTATED)
async def test_each_part_of_the_check_finds_something(
    make_local: Callable[..., Awaitable[Any]],
    after: After,
    mutated: Callable[..., None],
    python: tuple[str, str],
    c: tuple[str, str],
    name: str,
) -> None:
    mutated(python, c)
    local = await make_local()
    if SYSV in LEAVES_SOMETHING.get(name, "") and local.backend._groups is None:
        pytest.skip("without a control group, System V IPC is refused")
    assert await after(local, {**LEAVES_SOMETHING, "sockets in flight": IN_FLIGHT}[name], "set_result(1)") == 1


@pytest.fixture(params=["C", "Python"])
def mutated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Leave a part of the check out."""

    def change(python: tuple[str, str], c: tuple[str, str]) -> None:
        library = Path("/nonexistent")
        if request.param == "C":
            if (compiler := shutil.which("cc")) is None:
                pytest.skip("there is no C compiler")
            source = (box_config.LIBRARY.parent / "template.c").read_text()
            assert source.count(c[0]) == 1
            file, library = tmp_path / "template.c", tmp_path / "template.so"
            file.write_text(source.replace(*c))
            subprocess.run([compiler, "-shared", "-fPIC", "-o", library, file], check=True)
        sources = box.sandbox_sources()
        module = next(name for name in sources if python[0] in sources[name])
        monkeypatch.setattr(box, "sandbox_sources", lambda: {**sources, module: sources[module].replace(*python)})
        monkeypatch.setattr(box_config, "LIBRARY", library)

    return change
