"""Modules that are imported ahead of need."""

from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable, Project
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


async def test_a_module_that_starts_a_thread_is_named(
    make_local: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "site"
    package.mkdir(mode=0o755)
    (package / "busy.py").write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()")
    from airlock_local import packages

    async def provide(project: Project) -> packages.Site:
        import os

        return packages.Site(package, os.open(package, os.O_RDONLY))

    monkeypatch.setattr(packages, "provide", provide)
    with pytest.raises(BackendUnavailable, match=r"busy: it starts a thread"):
        await make_local(packages=("busy",), preload=("busy",))


async def test_the_pool_comes_up_after_the_cause_is_gone(make_local: Any) -> None:
    local = await make_local()
    await local.backend.scale(0)
    local.backend.project = Project(name="test", preload=("no_such_module",))
    with pytest.raises(BackendUnavailable):
        await local.backend.scale(1)
    local.backend.project = Project(name="test")
    await local.backend.scale(1)
    assert await local.result("set_result(1)") == 1
