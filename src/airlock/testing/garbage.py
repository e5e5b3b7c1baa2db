"""Collects a test's garbage at a moment when that is safe."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

POST_MORTEM: Final = ("last_type", "last_value", "last_traceback", "last_exc")


@contextmanager
def collected() -> Iterator[None]:
    """Collect the block's garbage at its end, and none before.

    Transports that were not closed raise if they are collected after their event loop was closed. While pytest parses
    the source of a failed test, that would end the whole run.
    """
    was_enabled = gc.isenabled()
    gc.freeze()  # older objects need not be examined
    gc.disable()
    try:
        yield
    finally:
        collect()
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Collect a test's garbage, including what only its failure keeps alive: at teardown it has been reported.

    The frames of the failure are released, not cleared: one of them belongs to the task in which anyio runs all tests
    of a class, and clearing it would end that task under the following tests.
    """
    for name in POST_MORTEM:
        vars(sys).pop(name, None)
    gc.collect()
