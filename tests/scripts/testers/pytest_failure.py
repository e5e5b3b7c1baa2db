import contextlib
import io

import pytest


def test_fails():
    left = [1, 2, 3]
    assert left == [1, 2, 4]


if __name__ == "__main__":
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = pytest.main([__file__, "-q", "-p", "no:cacheprovider"])
    print(int(code), "assert [1, 2, 3] == [1, 2, 4]" in out.getvalue(), "At index 2 diff: 3 != 4" in out.getvalue())
