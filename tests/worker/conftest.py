"""A script that runs in this process, and the two ends of its channel."""

import builtins
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airlock.worker import codec, names, script, sdk

JOB = {**sdk.EMPTY_JOB, "limits": {"prompt": 1000, "result": 1 << 20}}
Ends = tuple[codec.Channel, codec.Channel]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ends]:
    """The two ends of the channel: the worker's and the test's. The working folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", sys.path[:])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)
        theirs.settimeout(30)
        yield codec.Channel(theirs), codec.Channel(ours)


@contextmanager
def own_names() -> Iterator[None]:
    """Take away again what a script's process has for good."""
    modules = {name: sys.modules[name] for name in ("__main__", "airlock")}
    try:
        yield
    finally:
        sys.modules.update(modules)
        sys.modules.pop("llm", None)
        sys.meta_path.remove(names.LastFinder)
        for name in names.AIRLOCK.__dict__["__all__"]:
            del builtins.__dict__[name]


def run(code: str, channel: codec.Channel, **job: object) -> str | None:
    error: str | None = end(code, channel, **job)["error"]
    return error


def end(code: str, channel: codec.Channel, **job: object) -> dict[str, Any]:
    """Run a script and report what it changed in memory; returns the body of END."""
    with own_names():
        body = script.run({**JOB, "code": textwrap.dedent(code), **job}, channel)
        sdk.finish()
        return body
