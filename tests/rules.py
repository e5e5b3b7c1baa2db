"""How all suites run in parallel: tests that share something run in one process, and signals are reset."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED: dict[str, type[pytest.Module | pytest.Class]] = {"module": pytest.Module, "class": pytest.Class}  # by scope


def pytest_configure() -> None:
    """Give tests and their child processes the usual signals.

    `nohup` ignores SIGHUP, and background jobs of a shell ignore SIGINT. Child processes inherit ignored signals, but
    no handlers: the handler here keeps the promise of `nohup`.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `pytest -n` start with the longest tests; keep tests that share a fixture in one process."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (shared := _shared(item)):
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Collect what a failed test has left open: its warning would fail a later test."""
    before = item.session.testsfailed
    result = yield
    if item.session.testsfailed > before:
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            vars(sys).pop(name, None)  # pytest keeps them for debuggers, with all variables of the test
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return result


def _shared(item: pytest.Item) -> str | None:
    """Return the module or class whose fixtures this test shares; the module if both."""
    definitions = getattr(item, "_fixtureinfo", None)
    if definitions is None:
        return None
    scopes = {each[-1].scope for name, each in definitions.name2fixturedefs.items() if name != "anyio_backend"}
    for scope, kind in SHARED.items():
        if scope in scopes and (parent := item.getparent(kind)):
            return parent.nodeid
    return None
