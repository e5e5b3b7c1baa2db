"""Modules that are imported ahead of need."""

import asyncio
import os
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
    backend = LocalBackend(Project(name="test", preload=("json", module)), LocalSettings())
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
        return await make_local(packages=("mine",), preload=("mine",), **project)

    monkeypatch.setattr(packages, "provide", provide)
    return make


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()", "it starts a thread"),
        ("file = open('/dev/zero')", "it keeps /dev/zero open"),
        ("import mmap\nmemory = mmap.mmap(-1, 4096)", "it maps shared memory"),
        ("import mmap\nmemory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ)", "it maps shared memory"),  # for now
    ],
)
async def test_a_module_that_leaves_what_scripts_cannot_use_or_must_not_share_is_named(
    make_module: Any, source: str, why: str
) -> None:
    with pytest.raises(BackendUnavailable, match=f"preload: mine: {why}"):
        await make_module(source)


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
    local.backend.project = Project(name="test", preload=("no_such_module",))
    with pytest.raises(BackendUnavailable):
        await local.backend.scale(1)
    local.backend.project = Project(name="test")
    await local.backend.scale(1)
    assert await local.result("set_result(1)") == 1
