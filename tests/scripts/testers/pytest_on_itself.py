import sys

import pytest


@pytest.fixture
def number():
    return 21


@pytest.mark.parametrize("factor", [1, 2])
def test_product(number, factor):
    assert number * factor in (21, 42)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-p", "no:cacheprovider", "--no-header", "--durations=0", "-o", "console_output_style=none"]) and 1)
