"""Lets pytest show the values in a failing assert of a contract. To be imported before the contracts."""

import pytest

_WITH_ASSERTS = (
    *("bench", "held_limits", "isolation", "lifecycle", "questions", "scripts"),
    *("mediator_contract", "store_contract"),
)

pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in _WITH_ASSERTS))
