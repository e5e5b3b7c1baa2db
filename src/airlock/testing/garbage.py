"""Collects what a test has left to the garbage collector where nothing breaks by it."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


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
        traceback.clear_frames(getattr(sys, "last_traceback", None))  # what a failure keeps; pytest has shown it by now
        gc.collect()
        gc.unfreeze()
        if was_enabled:
            gc.enable()
