"""Lets pytest show the values in failing asserts of attacks. Import it before the attacks."""

import pytest

_WITH_ASSERTS = ("arena", "descriptors", "ends", "files", "frames", "kernel", "limits", "mixture", "network", "pauses")

pytest.register_assert_rewrite(
    *(f"{__package__}.{name}" for name in (*_WITH_ASSERTS, "processes", "reached", "values"))
)
