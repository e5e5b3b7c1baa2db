"""`packages`: installed once, outside; visible inside, and only these."""

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable, Project
from airlock_local import packages

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test; uv's own stays, so that nothing is downloaded twice."""
    if "UV_CACHE_DIR" not in os.environ and "XDG_CACHE_HOME" in os.environ:
        monkeypatch.setenv("UV_CACHE_DIR", os.environ["XDG_CACHE_HOME"] + "/uv")
    elif "UV_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return packages.cache_directory()


async def test_a_package_can_be_imported_inside_and_preloaded(make_local: Any) -> None:
    local = await make_local(packages=("six",), preload=("six",))
    code = "import sys; there = 'six' in sys.modules; import six; set_result([there, six.__file__])"
    assert await local.result(code) == [True, "/site/six.py"]


async def test_preloaded_packages_give_each_execution_its_own_random_numbers(make_local: Any) -> None:
    local = await make_local(packages=("numpy", "faker"), preload=("numpy.random", "faker"))
    code = """
import numpy, faker
set_result([numpy.random.rand(), numpy.random.mtrand._rand.rand(), faker.Faker().sha1()])
"""
    drawn = [await local.result(code) for _ in range(3)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 3


async def test_an_interpreter_that_a_script_starts_has_the_packages_too(make_local: Any) -> None:
    local = await make_local(packages=("six",))
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import six; print(six.__file__)'])"
    assert (await local.run(code)).stdout == "/site/six.py\n"


async def test_packages_are_read_only_inside(make_local: Any) -> None:
    local = await make_local(packages=("six",))
    code = "try: open('/site/six.py', 'a')\nexcept OSError as error: set_result(error.strerror)"
    assert await local.result(code) in ("Read-only file system", "Permission denied")


async def test_packages_come_with_bytecode_that_is_valid_whatever_the_time_of_its_source(make_local: Any) -> None:
    local = await make_local(packages=("six",))
    (site,) = (path for path in packages.cache_directory().iterdir() if path.is_dir())
    (site / "six.py").touch()
    code = "import six; set_result([six.__cached__, [*open(six.__cached__, 'rb').read(8)[4:]]])"
    cached, flags = await local.result(code)
    assert cached.startswith("/site/__pycache__/six.")
    assert flags == [3, 0, 0, 0]  # by the hash of its source: PEP 552


async def test_a_set_is_installed_once_for_all_that_ask(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    projects = [Project(name=f"p{n}", packages=("six",)) for n in range(3)]
    sites = await asyncio.gather(*(packages.provide(project) for project in projects))
    assert len({site.path for site in sites}) == 1
    assert sum("installing six" in record.message for record in caplog.records) == 1
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [sites[0].path.name]
    for site in sites:
        site.close()


async def test_the_progress_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (await packages.provide(Project(name="p", packages=("six",)))).close()
    assert any("uv: Installed 1 package" in record.message for record in caplog.records)


async def test_a_package_that_does_not_exist_is_named(make_local: Any, cache: Path) -> None:
    with pytest.raises(BackendUnavailable, match="no-such-package-of-airlock") as caught:
        await make_local(packages=("no-such-package-of-airlock",))
    assert "packages" in caught.value.remedy
    assert not [path for path in cache.iterdir() if path.is_dir()]


async def test_a_malformed_requirement_is_an_error_and_never_an_option(tmp_path: Path) -> None:
    for requirement in ("six ===", "--target=" + str(tmp_path / "x"), "-r/etc/passwd"):
        with pytest.raises(BackendUnavailable):
            await packages.provide(Project(name="p", packages=(requirement,)))
    assert not (tmp_path / "x").exists()


async def test_no_network_is_an_error_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(BackendUnavailable, match=r"project p cannot be installed"):
        await packages.provide(Project(name="p", packages=("six",)))
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
async def test_a_full_disk_is_an_error_and_nothing_is_left(cache: Path) -> None:
    cache.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(cache)], check=True)
    try:
        with pytest.raises(BackendUnavailable, match=r"(?s)project p cannot be installed.*[Nn]o space left"):
            await packages.provide(Project(name="p", packages=("six",)))
        assert not [path for path in cache.iterdir() if path.is_dir()]
    finally:
        subprocess.run(["umount", str(cache)], check=True)


async def test_two_servers_install_a_set_once(cache: Path) -> None:
    code = """
import asyncio, logging, sys
from airlock import Project
from airlock_local import packages
logging.basicConfig(level="INFO")
print(asyncio.run(packages.provide(Project(name=sys.argv[1], packages=("six",)))).path)
"""
    servers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, name, stdout=-1, stderr=-1) for name in "ab"
    ]
    said = [await server.communicate() for server in servers]
    assert len({out for out, _ in said}) == 1
    assert sum(error.count(b"installing six") for _, error in said) == 1
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


async def test_a_cache_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackendUnavailable, match="XDG_CACHE_HOME"):
        await packages.provide(Project(name="p", packages=("six",)))


async def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(BackendUnavailable, match="Set XDG_CACHE_HOME"):
        await packages.provide(Project(name="p", packages=("six",)))


async def test_a_cancelled_installation_leaves_nothing(cache: Path) -> None:
    task = asyncio.create_task(packages.provide(Project(name="p", packages=("six",))))
    while not (cache.is_dir() and any(path.is_dir() for path in cache.iterdir())):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_the_name_of_a_set_does_not_depend_on_the_order() -> None:
    assert packages.set_name(("a", "b")) == packages.set_name(("b", "a")) != packages.set_name(("a",))


def test_old_sets_and_too_many_are_removed_but_none_in_use(cache: Path) -> None:
    cache.mkdir(parents=True)
    days = {"used": 90, "old": 60, "third": 3, "second": 2, "first": 1}
    for name, age in days.items():
        (cache / name).mkdir()
        os.utime(cache / name, (time.time() - age * 86_400,) * 2)
    with (cache / "used.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        packages.remove_old(cache, keep_sets=2, keep_days=30)
        assert sorted(path.name for path in cache.iterdir() if path.is_dir()) == ["first", "second", "used"]
