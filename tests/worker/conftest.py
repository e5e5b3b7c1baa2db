"""A script that runs in this process, and the two ends of its channel."""

import socket
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock.worker import codec, script

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


def run(code: str, channel: codec.Channel, **job: object) -> str | None:
    error: str | None = end(code, channel, **job)["error"]
    return error


def end(code: str, channel: codec.Channel, **job: object) -> dict[str, Any]:
    main = sys.modules["__main__"]
    try:
        return script.run({"code": textwrap.dedent(code), "settings": {}, "memory": {}, **job}, channel)
    finally:
        sys.modules["__main__"] = main
