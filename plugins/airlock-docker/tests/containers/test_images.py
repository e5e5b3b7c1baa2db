"""Images: what is refused with which reason, and the packages that are put into them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from airlock import BackendUnavailable
from airlock_docker.probe import Machine, judge

if TYPE_CHECKING:
    from containers.conftest import Up

pytestmark = pytest.mark.anyio

FOLDERS = ["/tmp", "/dev/shm", "/workspace"]
WRITES = f"""
import os
for folder in {FOLDERS}:
    os.makedirs(folder + "/.cache/folder")
    open(folder + "/.cache/file", "w").close()
    os.symlink("/etc", folder + "/link")
"""


async def test_an_image_that_is_not_there_is_named_with_the_command(make_docker: Callable[..., Awaitable[Up]]) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        await make_docker(settings={"image": "nobody/has-this:1"})
    assert caught.value.detail == "There is no image nobody/has-this:1."
    assert "pull nobody/has-this:1`" in caught.value.remedy


async def test_an_image_without_python_is_refused(
    client: docker.DockerClient, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    client.api.import_image_from_data(archive.getvalue(), repository="airlock-test-empty")
    try:
        with pytest.raises(BackendUnavailable) as caught:
            await make_docker(settings={"image": "airlock-test-empty"})
    finally:
        client.images.remove("airlock-test-empty")
    assert caught.value.detail == "The image airlock-test-empty has no python3 on its PATH."
    assert "CPython 3.9 or later" in caught.value.remedy


FOUND = {"python": [3, 11], "name": "cpython", "machine": "x86_64", "libc": "glibc 2.36", "problem": ""}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": [3, 8]}, "has cpython 3.8"),
        ({"name": "pypy"}, "has pypy 3.11"),
        ({"libc": ""}, "is not built on glibc"),
        ({"problem": "No module named 'ctypes'"}, "without parts of the standard library (No module named 'ctypes')"),
    ],
)
def test_an_image_that_cannot_run_the_worker_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        judge("some:image", json.dumps({**FOUND, **change}), "")
    assert said in caught.value.detail


def test_a_python_that_does_not_start_is_shown_with_its_last_words() -> None:
    with pytest.raises(BackendUnavailable, match="Fatal Python error"):
        judge("some:image", "", "Fatal Python error: init_fs_encoding")


@pytest.mark.parametrize(
    ("libc", "platform"), [("glibc 2.36", "x86_64-manylinux_2_28"), ("glibc 2.27", "x86_64-manylinux2014")]
)
def test_wheels_are_chosen_for_the_image(libc: str, platform: str) -> None:
    assert judge("some:image", json.dumps({**FOUND, "libc": libc}), "") == Machine("3.11", platform)


async def test_packages_are_in_the_image_and_preloaded(make_docker: Callable[..., Awaitable[Up]]) -> None:
    up = await make_docker(packages=("six",), preload=("six",))
    code = "import sys; there = 'six' in sys.modules; import six; set_result([there, six.__file__])"
    assert await up.result(code) == [True, "/opt/airlock/site/six.py"]
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import six; print(six.__cached__)'])"
    assert (await up.run(code)).run.stdout.startswith("/opt/airlock/site/__pycache__/six.")


async def test_an_image_is_built_once(
    caplog: pytest.LogCaptureFixture, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    await make_docker(packages=("six",))
    caplog.clear()
    caplog.set_level("INFO")
    again = await make_docker(packages=("six",))
    assert "building" not in caplog.text
    assert again.backend.pool().idle == 1


async def test_a_package_that_does_not_exist_leaves_the_project_down(make_docker: Callable[..., Awaitable[Up]]) -> None:
    with pytest.raises(BackendUnavailable, match="cannot be installed") as caught:
        await make_docker(packages=("six==0.0.0.dev999",))
    assert "`packages`" in caught.value.remedy


async def test_a_module_that_cannot_be_preloaded_is_named(make_docker: Callable[..., Awaitable[Up]]) -> None:
    with pytest.raises(BackendUnavailable, match="preload: nowhere: ModuleNotFoundError"):
        await make_docker(preload=("nowhere",), preload_strict=True)


async def test_a_module_that_cannot_be_preloaded_is_left_out(
    make_docker: Callable[..., Awaitable[Up]], caplog: pytest.LogCaptureFixture
) -> None:
    up = await make_docker(preload=("colorsys", "nowhere", "wave"))
    code = "import sys; set_result([name in sys.modules for name in ('colorsys', 'nowhere', 'wave')])"
    assert await up.result(code) == [True, False, True]
    fault = "nowhere: ModuleNotFoundError: No module named 'nowhere'"
    assert up.backend.pool().detail == f"not preloaded: {fault}"
    assert caplog.text.count(fault) == 1


async def test_a_module_may_write_into_its_home_while_it_is_imported_and_nobody_finds_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, throw_away: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    with zipfile.ZipFile(tmp_path / "caches-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("caches.py", WRITES)
        wheel.writestr("caches-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: caches\nVersion: 1.0\n")
        wheel.writestr("caches-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("caches-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    up = await make_docker(name=throw_away, packages=("caches",), preload=("caches",))
    code = f"import os, sys; set_result(['caches' in sys.modules, *map(os.listdir, {FOLDERS})])"
    assert await up.result(code) == [True, [], [], ["main.py"]]


async def test_an_image_that_is_removed_meanwhile_is_built_again(
    client: docker.DockerClient, throw_away: str, make_docker: Callable[..., Awaitable[Up]]
) -> None:
    up = await make_docker(name=throw_away, packages=("six==1.16.0",))
    assert up.backend._image is not None
    await up.backend.scale(0)
    client.images.remove(up.backend._image["Id"], force=True)
    await up.backend.scale(1)
    assert await up.result("set_result(1)") == 1


async def test_a_runtime_that_the_daemon_does_not_know_is_named(make_docker: Callable[..., Awaitable[Up]]) -> None:
    with pytest.raises(BackendUnavailable, match=r"no runtime nonesuch; it has: .*runc"):
        await make_docker(settings={"runtime": "nonesuch"})
