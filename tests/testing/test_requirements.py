"""A test whose requirement is missing is skipped, but fails in CI."""

import pytest

from airlock.testing import missing


def test_missing_part_is_a_skip_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_TEST_REQUIRE", "docker")
    with pytest.raises(pytest.skip.Exception, match="sandbox is missing: no user namespaces"):
        missing("sandbox", "no user namespaces")


def test_missing_part_that_is_required_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_TEST_REQUIRE", "docker, sandbox")
    with pytest.raises(pytest.fail.Exception, match="no user namespaces"):
        missing("sandbox", "no user namespaces")
