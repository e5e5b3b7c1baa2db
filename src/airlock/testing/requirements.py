"""What a test needs of the machine: where that is missing it is skipped, but never on a machine that must have it."""

from __future__ import annotations

import os
from typing import Final, NoReturn

import pytest

VARIABLE: Final = "AIRLOCK_TEST_REQUIRE"


def missing(what: str, reason: str) -> NoReturn:
    """Skip the test, as `what` (a word like `docker`) is missing; fail it where $AIRLOCK_TEST_REQUIRE names that.

    The variable holds words separated by commas. CI sets it, so that nothing is left out there unnoticed.
    """
    required = {word.strip() for word in os.environ.get(VARIABLE, "").split(",")}
    if what in required:
        pytest.fail(f"{VARIABLE} names {what!r}, and it is missing: {reason}", pytrace=False)
    pytest.skip(f"{what} is missing: {reason}")
