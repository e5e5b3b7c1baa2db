"""Lets pytest show the values in failing asserts of contracts. Import it before the contracts."""

import pytest

pytest.register_assert_rewrite(*(f"{__package__}.{name}" for name in ("backend", "contract", "mediator", "store")))
