"""Modules that are imported ahead of need."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable, Project
from airlock_local import box, packages
from airlock_local.backend import LocalBackend, LocalSettings

pytestmark = pytest.mark.anyio


async def test_a_preloaded_module_is_there_already(make_local: Any) -> None:
    local = await make_local(preload=("colorsys",))
    assert await local.result("import sys; set_result('colorsys' in sys.modules)") is True


@pytest.mark.parametrize(
    ("module", "why"),
    [("no_such_module", "ModuleNotFoundError"), ("antigravity_", "ModuleNotFoundError"), ("lib2to3.no", "lib2to3.no")],
)
async def test_a_module_that_does_not_import_is_named(module: str, why: str) -> None:
    project = Project(name="test", preload=("json", module), preload_strict=True)
    backend = LocalBackend(project, LocalSettings())
    with pytest.raises(BackendUnavailable, match=module) as caught:
        await backend.scale(1)
    assert why in caught.value.detail
    assert "preload" in caught.value.remedy
    assert backend.pool().replicas == 0
    await backend.close()


@pytest.fixture
def make_module(make_local: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Awaitable[Any]]:
    """Bring up a backend that has imported a module `mine` with this source."""
    site = tmp_path / "site"
    site.mkdir(mode=0o755)

    async def provide(project: Project) -> packages.Site:
        return packages.Site(site, os.open(site, os.O_RDONLY))

    async def make(source: str, **project: Any) -> Any:
        (site / "mine.py").write_text(source)
        return await make_local(packages=("mine",), **{"preload": ("mine",), **project})

    monkeypatch.setattr(packages, "provide", provide)
    return make


THREAD = """
import ctypes, threading, time
def count():
    ctypes.CDLL(None).prctl(15, b"counter")
    time.sleep(60)
threading.Thread(target=count).start()
"""


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (THREAD, r"when it is imported, it starts a thread \(counter\)"),
        ("file = open('/dev/zero')", "when it is imported, it keeps /dev/zero open"),
        ("import mmap\nmemory = mmap.mmap(-1, 4096)", "when it is imported, it maps shared memory"),
        ("import mmap\nmemory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ)", "it maps shared memory"),  # for now
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit", "SystemExit"),
        ("import os, sys\nprint('last words', file=sys.stderr)\nos.abort()", "the interpreter dies: .*last words"),
    ],
)
async def test_a_module_that_leaves_what_scripts_cannot_use_or_must_not_share_is_left_out(
    make_module: Any, source: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    local = await make_module(source, preload=("colorsys", "mine", "wave"))
    loaded = await local.result("import sys; set_result([m in sys.modules for m in ('colorsys', 'mine', 'wave')])")
    assert loaded == [True, False, True]
    assert re.search(f"not preloaded: mine: .*{why}", local.backend.pool().detail, re.DOTALL)
    assert re.search(f"not preloaded.*: mine: .*{why}", caplog.text, re.DOTALL)


async def test_with_preload_strict_it_keeps_the_project_down(make_module: Any) -> None:
    with pytest.raises(BackendUnavailable, match=r"preload: mine: .*starts a thread \(counter\)") as caught:
        await make_module(THREAD, preload_strict=True)
    assert "`packages`" in caught.value.remedy


async def test_a_module_may_write_into_its_home_while_it_is_imported_and_nobody_finds_that(make_module: Any) -> None:
    source = "import os, tempfile\nhome = os.path.expanduser('~/.cache/mine')\nos.makedirs(home)\n"
    local = await make_module(source + "kept = tempfile.mkdtemp()")
    assert local.backend.pool().detail is None
    code = "import mine, os; set_result([os.path.exists(mine.home), os.path.exists(mine.kept), os.listdir('/tmp')])"
    for _ in range(2):
        assert await local.result(code) == [False, False, []]


async def test_a_module_may_try_a_semaphore_while_it_is_imported_and_nobody_finds_its_file(make_module: Any) -> None:
    source = "from _multiprocessing import SemLock\nSemLock(0, 0, 1, name='/mine', unlink=True)\n"  # as joblib does
    local = await make_module(source + "open('/dev/shm/kept', 'x').close()")
    assert local.backend.pool().detail is None
    for _ in range(2):
        assert await local.result("import mine, os; set_result(os.listdir('/dev/shm'))") == []


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("sys:exit", "failed: SystemExit"),
        ("os:abort", r"ends the process \(SIGABRT\)"),
        ("os:fork", "leaves a process behind"),
        ("os:pipe", "keeps pipe:.* open"),
        ("mine:hang", "does not return within 10 s"),
    ],
)
async def test_a_function_of_preload_reseed_that_scripts_cannot_call_is_named(
    make_module: Any, function: str, why: str
) -> None:
    with pytest.raises(BackendUnavailable, match=f"^preload_reseed: {function} {why}") as caught:
        await make_module("import time\ndef hang(): time.sleep(60)", preload_reseed=(function,))
    assert "reduced" not in caught.value.remedy


async def test_a_pth_file_that_maps_shared_memory_is_named(make_module: Any, tmp_path: Path) -> None:
    (tmp_path / "site" / "mine.pth").write_text("import mmap; mmap.memory = mmap.mmap(-1, 4096)\n")
    with pytest.raises(BackendUnavailable, match=r"a \.pth file or what it imports maps shared memory"):
        await make_module("")


DRAW = """
import multiprocessing, random, sqlite3, ssl, tempfile, uuid
def draw():
    return [multiprocessing.current_process().authkey.hex(), random.random(), ssl.RAND_bytes(8).hex(),
            next(tempfile._get_candidate_names()), uuid.getnode(), uuid.uuid1().node,
            *sqlite3.connect(":memory:").execute("SELECT random()").fetchone()]
draw()
"""


async def test_what_a_module_drew_when_it_was_imported_is_not_drawn_again(make_module: Any) -> None:
    """Not even by executions at once, from generators that look at pids or clocks."""
    local = await make_module(DRAW, replicas=2)
    drawn = await asyncio.gather(*(local.result("import mine; set_result(mine.draw())") for _ in range(4)))
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 4


async def test_it_is_drawn_again_where_nothing_is_seeded_anew(
    make_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = box.sandbox_sources()
    name = "airlock_local.sandbox.standby"
    assert sources[name].count("box.reseeding.run()") == 1
    sources[name] = sources[name].replace("box.reseeding.run()", "pass")
    monkeypatch.setattr(box, "sandbox_sources", lambda: sources)
    local = await make_module(DRAW)
    one, two = [await local.result("import mine; set_result(mine.draw())") for _ in range(2)]
    equal = [first == second for first, second in zip(one, two, strict=True)]
    assert equal == [True, False, False, False, True, True, True]  # some look at the pid, which is the zygote's no more


@pytest.mark.parametrize(("functions", "different"), [(("mine:numbers.seed",), 3), ((), 1)])
async def test_a_generator_that_nobody_knows_is_seeded_by_preload_reseed(
    make_module: Any, functions: tuple[str, ...], different: int
) -> None:
    local = await make_module("import random\nnumbers = random.Random()", preload_reseed=functions)
    drawn = {await local.result("import mine; set_result(mine.numbers.random())") for _ in range(3)}
    assert len(drawn) == different


async def test_a_function_of_preload_reseed_that_raises_is_named(make_module: Any) -> None:
    with pytest.raises(
        BackendUnavailable, match="preload_reseed: mine:seed failed: PermissionError: not now"
    ) as caught:
        await make_module("def seed(): raise PermissionError('not now')", preload_reseed=("mine:seed",))
    assert "`packages`" in caught.value.remedy


async def test_the_pool_comes_up_after_the_cause_is_gone(make_local: Any) -> None:
    local = await make_local()
    await local.backend.scale(0)
    local.backend.project = Project(name="test", preload_reseed=("no_such:function",))
    with pytest.raises(BackendUnavailable):
        await local.backend.scale(1)
    local.backend.project = Project(name="test")
    await local.backend.scale(1)
    assert await local.result("set_result(1)") == 1
