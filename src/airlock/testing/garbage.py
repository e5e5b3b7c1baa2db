"""Collects what a test has left to the garbage collector where nothing breaks by it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

POST_MORTEM: Final = ("last_type", "last_value", "last_traceback", "last_exc")


@contextmanager
def collected() -> Iterator[None]:
    """Collect what the block leaves at its end, and nothing before.

    Transports that nobody closed raise when they are collected after their event loop was closed. In the midst of
    pytest, where it parses the source of a failed test, that would end the whole run.
    """
    was_enabled = gc.isenabled()
    gc.freeze()  # what was there before need not be looked at
    gc.disable()
    try:
        yield
    finally:
        collect()
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Collect what a test left, also what only its failure keeps: by its teardown pytest and debuggers have shown it.

    The frames of the failure are let go, not cleared: among them is that of the task in which anyio runs all tests of
    a class, and to clear that closes it under the tests that follow.
    """
    for name in POST_MORTEM:
        vars(sys).pop(name, None)
    gc.collect()
