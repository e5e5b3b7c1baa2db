"""Lets pytest show the values in failing asserts of contracts. Import it before the contracts."""

import pytest

_WITH_ASSERTS = (
    *("bench", "held_limits", "isolation", "lifecycle", "questions", "scripts"),
    *("mediator_contract", "store_contract"),
)

pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in _WITH_ASSERTS))
