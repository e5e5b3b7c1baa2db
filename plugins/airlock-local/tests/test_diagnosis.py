"""Where the machine cannot isolate, nothing runs, and the operator reads the cause and the remedy."""

import builtins
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock import BackendUnavailable, Project
from airlock_local import diagnosis
from airlock_local.backend import LocalBackend, LocalSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
def switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A /proc/sys of our own: `switches("kernel/x", "1")`."""
    monkeypatch.setattr(diagnosis, "SYSCTL", tmp_path)

    def write(name: str, value: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value + "\n")

    return write


def test_apparmors_refusal_is_named_with_its_switch(switches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    switches("kernel/apparmor_restrict_unprivileged_userns", "1")
    error = diagnosis.explain("box", errno.EPERM, "mount: Operation not permitted")
    assert "AppArmor" in error.detail
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in error.remedy


@pytest.mark.parametrize(
    ("switch", "number"),
    [
        ("kernel/unprivileged_userns_clone", errno.EPERM),
        ("user/max_user_namespaces", errno.ENOSPC),
        ("user/max_net_namespaces", errno.ENOSPC),
    ],
)
def test_a_switch_that_is_off_is_named_with_the_command(switches: Any, switch: str, number: int) -> None:
    switches(switch, "0")
    error = diagnosis.explain("box", number, "unshare")
    assert switch.replace("/", ".") in error.detail
    assert f"sudo sysctl -w {switch.replace('/', '.')}=" in error.remedy


def test_who_answers_system_calls_already_is_named(tmp_path: Path) -> None:
    """As a container manager may, for all that runs in a container."""
    code = """
import asyncio
from airlock import BackendUnavailable, Project
from airlock.sandbox import asking_program
from airlock.worker import syscalls
from airlock_local.backend import LocalBackend, LocalSettings
async def main():
    backend = LocalBackend(Project(name="test"), LocalSettings())
    try: await backend.scale(1)
    except BackendUnavailable as error: print(error)
    await backend.close()
syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
syscalls.Filter(asking_program()).load_and_listen()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=tmp_path)
    assert "answers its system calls already" in done.stdout
    assert "security.syscalls.intercept" in done.stdout


def test_a_covered_proc_is_told_what_covers_it(switches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_in_container", lambda: False)
    error = diagnosis.explain("box", errno.EPERM, "mount(proc on root/proc): Operation not permitted")
    assert "Parts of /proc are covered" in error.detail
    assert "ProtectKernelTunables=" in error.remedy


def test_a_container_is_told_its_options(switches: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("container", "podman")
    error = diagnosis.explain("box", errno.EPERM, "mount(proc)")
    assert "--security-opt seccomp=unconfined" in error.remedy


def test_an_unknown_refusal_keeps_the_call_and_the_error(switches: Any) -> None:
    error = diagnosis.explain("box", errno.EIO, "mount_setattr(/usr): Input/output error")
    assert "mount_setattr(/usr): Input/output error" in error.detail


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("platform.machine", "riscv64", "riscv64"),
        ("platform.release", "5.10.0-8-amd64", "5.10"),
        ("sys.platform", "darwin", "Linux"),
    ],
)
def test_a_machine_that_can_never_do_it_is_told_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setattr(name, value if name == "sys.platform" else lambda: value)
    with pytest.raises(BackendUnavailable, match=said):
        diagnosis.check_machine()


async def test_without_libseccomp_the_project_is_down_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, *rest: Any) -> Any:
        if name == "pyseccomp":
            raise RuntimeError("Unable to find libseccomp")
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", fail)
    backend = LocalBackend(Project(name="test"), LocalSettings())
    with pytest.raises(BackendUnavailable, match="libseccomp") as caught:
        await backend.scale(1)
    assert "apt-get install libseccomp2" in caught.value.remedy
    assert backend.pool().replicas == 0
    await backend.close()


async def test_with_reduced_isolation_it_runs_and_says_what_is_missing(
    leave_out: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    leave_out("system_call_filter")
    backend = LocalBackend(Project(name="test"), LocalSettings(isolation="reduced"))
    await backend.scale(1)
    assert "REDUCED, without: seccomp" in backend.isolation
    assert "without: seccomp" in caplog.text
    await backend.close()


async def test_where_user_namespaces_are_refused_the_project_is_down(tmp_path: Path) -> None:
    """For real: in a user namespace whose limit on user namespaces is 0."""
    script = """
import asyncio, sys
from airlock import BackendUnavailable, Project
from airlock_local.backend import LocalBackend, LocalSettings
with open("/proc/sys/user/max_user_namespaces", "w") as file: file.write("0")
async def main():
    backend = LocalBackend(Project(name="x"), LocalSettings())
    try:
        await backend.scale(1)
    except BackendUnavailable as error:
        print(error)
    await backend.close()
asyncio.run(main())
"""
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", script],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=60,
    )
    assert "user.max_user_namespaces is 0" in done.stdout, done
    assert "sudo sysctl -w user.max_user_namespaces=10000" in done.stdout
