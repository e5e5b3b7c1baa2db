"""How all suites run beside each other: what is shared stays in one process, and what a shell left behind is undone."""

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
    """Let tests and the processes that they start have signals as usual.

    Under `nohup` SIGHUP is ignored, in a background job of a shell SIGINT, and whatever is started inherits that, but
    no handler; the one here keeps the promise of `nohup`.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `pytest -n` begin with the longest; keep tests in one process that share what is brought up once."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (shared := _shared(item)):
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Bury what a test that failed has left open: the warning would be the failure of a later one."""
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
    """Return the name of the module or the class that shares fixtures of this test, the larger one if both do."""
    definitions = getattr(item, "_fixtureinfo", None)
    if definitions is None:
        return None
    scopes = {each[-1].scope for name, each in definitions.name2fixturedefs.items() if name != "anyio_backend"}
    for scope, kind in SHARED.items():
        if scope in scopes and (parent := item.getparent(kind)):
            return parent.nodeid
    return None
