"""Random sequences of what a script may do: whoever has the same slot afterwards finds nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airlock import Project
from airlock.testing import RunningPool
from airlock.testing.attacks import IS_SOAK
from airlock.testing.attacks.leftovers import PROBE
from airlock_local import slots
from airlock_local.backend import LocalBackend, LocalSettings

CALLS = st.sampled_from(
    [
        "os.close(os.open(name, os.O_CREAT | os.O_RDWR, 0o600))",
        "os.unlink(name)",
        "os.mkdir(name)",
        "os.rmdir(name)",
        "os.rename(name, other)",
        "os.link(name, other)",
        "os.symlink(name, other)",
        "os.chmod(name, 0o755)",
        "os.utime(name, (1, 2))",
        "os.truncate(name, 5)",
        "os.listdir(os.path.dirname(name))",
        "open(name).read()",
        "kept.append(os.open(name, os.O_RDONLY))",
        "os.close(os.open(os.path.dirname(name), os.O_TMPFILE | os.O_RDWR))",
        "os.mkfifo(name)",
        "os.fork() or os._exit(0)",
        "os.wait()",
        "os.fork() or time.sleep(1)",
        "threading.Thread(target=len, args=('',)).start()",
        "kept.append(socket.socketpair())",
        "socket.socket(socket.AF_UNIX).bind(other)",
        "socket.socket(socket.AF_UNIX).bind(chr(0) + 'x')",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0))",
        "libc.shmget(0, 4096, 0o1600)",
        "libc.shmctl(0, 0, None)",
        "libc.semget(1, 1, 0o1600)",
        "libc.msgget(1, 0o1600)",
        "kept.append(os.openpty())",
        "os.memfd_create('x')",
        "mmap.mmap(-1, 4096).write(b'x')",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))",
        "os.nice(1)",
        "signal.setitimer(signal.ITIMER_REAL, 60)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "fcntl.flock(kept[-1], fcntl.LOCK_EX)",
        "os.kill(0, 0)",
        "os.setpgid(0, 0)",
        "libc.prctl(36, 1, 0, 0, 0)",
        "os.stat('/proc/cpuinfo'), os.stat('/proc/1/status'), os.stat('/proc/sys/kernel/pid_max')",
        "os.umask(0)",
        "os.chdir('/')",
        "sys.exit()",
    ]
)
NAMES = st.sampled_from(["/tmp/a", "/tmp/b", "/workspace/a", "/workspace/main.py", "/dev/shm/a", "/tmp", "/dev/shm"])
STEPS = st.lists(st.tuples(CALLS, NAMES, NAMES), min_size=1, max_size=5)
HEAD = """
import ctypes, fcntl, mmap, os, resource, signal, socket, sys, threading, time
libc, kept = ctypes.CDLL(None), []
"""


def script(steps: list[tuple[str, str, str]]) -> str:
    """Each step may fail, and the next one is tried all the same."""
    lines = [f"name, other = {name!r}, {other!r}\ntry: {call}\nexcept Exception: pass" for call, name, other in steps]
    return HEAD + "\n".join(lines)


def test_what_random_scripts_leave_nobody_finds(
    monkeypatch: pytest.MonkeyPatch, after: Callable[..., Coroutine[Any, Any, Any]]
) -> None:
    monkeypatch.setattr(slots, "WORTH", 0.0)  # most of these scripts leave something
    again = 0
    with asyncio.Runner() as runner:
        backend = LocalBackend(Project(name="test"), LocalSettings(reuse="pristine"))
        local = RunningPool(backend, 60)
        try:
            runner.run(backend.scale(1))
            fresh = runner.run(local.result(PROBE))

            @settings(max_examples=5_000 if IS_SOAK else 300, deadline=None, database=None)
            @given(STEPS)
            def nobody_finds_it(steps: list[tuple[str, str, str]]) -> None:
                nonlocal again
                found = runner.run(after(local, script(steps), PROBE))
                again += found is not None
                differs = {key: (found[key], fresh[key]) for key in fresh if found and found[key] != fresh[key]}
                assert not differs

            nobody_finds_it()
        finally:
            runner.run(backend.close())
    assert again > 20
