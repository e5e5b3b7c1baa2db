"""What a test needs of the machine: it is skipped if that is missing, or fails on a machine that must have it."""

from __future__ import annotations

import os
from typing import Final, NoReturn

import pytest

VARIABLE: Final = "AIRLOCK_TEST_REQUIRE"


def missing(what: str, reason: str) -> NoReturn:
    """Skip the test because `what` (a word like `docker`) is missing; fail it if $AIRLOCK_TEST_REQUIRE names it.

    The variable holds words separated by commas. CI sets it, so that no test is skipped there unnoticed.
    """
    required = {word.strip() for word in os.environ.get(VARIABLE, "").split(",")}
    if what in required:
        pytest.fail(f"{VARIABLE} names {what!r}, but it is missing: {reason}", pytrace=False)
    pytest.skip(f"{what} is missing: {reason}")
