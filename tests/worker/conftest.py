"""A script that runs in this process, and the two ends of its channel."""

import builtins
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airlock.worker import codec, names, script, sdk

JOB = {**sdk.EMPTY_JOB, "limits": {"prompt": 1000, "result": 1 << 20}}
Ends = tuple[codec.Channel, codec.Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The two ends of the channel: the worker's and the test's."""
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
    with own_names():
        return script.run({**JOB, "code": textwrap.dedent(code), **job}, channel)
