"""Lets pytest show the values in failing asserts of attacks. Import it before the attacks."""

import pytest

_WITH_ASSERTS = (
    *("arena", "causes", "ends", "files", "frames", "kernel", "limits", "mixture", "network", "pauses", "processes"),
    *("reached", "values"),
)

pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in _WITH_ASSERTS))
