"""What all contracts share: every skipped test says why, and no test is left out unnoticed."""

import pytest
from tests.testing.fakes import ECHO, PLAIN, with_fake


@pytest.mark.parametrize(
    ("fake", "told"),
    [
        (
            "def __init__(self, project, settings): pass",
            "Airlock refuses the plugin: Fake.__init__ does not call super*",
        ),
        ("type = 'Mist'", "Airlock refuses the plugin: Fake.type is 'Mist', and must be a word of lower-case letters*"),
        ("def __init__(self, project, settings): raise OSError('no disk')", "*OSError: no disk"),
    ],
)
def test_backend_that_core_refuses_fails_one_test_and_skips_the_others(
    pytester: pytest.Pytester, fake: str, told: str
) -> None:
    pytester.makepyfile(with_fake(ECHO, f"class Fake(Echo):\n    {fake}\n"))
    result = pytester.runpytest("-ra", "-v")
    assert result.parseoutcomes().keys() - {"warnings"} == {"failed", "skipped"}
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*::test_core_takes_the_class FAILED *", "*::* SKIPPED *", told])
    result.stdout.fnmatch_lines(["SKIPPED * test_core_takes_the_class fails: see there"])


def test_skipped_tests_name_what_is_not_promised(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(with_fake(PLAIN, "Fake = PlainBackend"))
    result = pytester.runpytest("-ra", "-k", "network or limits_scratch")
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED * capability 'no_network' is not claimed: a script can reach neither *",
            "SKIPPED * limits.scratch is not in PlainBackend.enforces",
        ]
    )


@pytest.mark.parametrize(
    "override",
    [
        "def test_close_without_scale(self): pass",
        "test_close_without_scale = None",
        "@pytest.mark.xfail\n    def test_close_without_scale(self): pass",
        "@pytest.mark.skip(reason='no')\n    def test_close_without_scale(self): pass",
    ],
)
def test_overridden_test_is_refused(pytester: pytest.Pytester, override: str) -> None:
    pytester.makepyfile(f"{ECHO}\nFake = Echo\n\nclass TestFake(Suite):\n    {override}\n")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TestFake.test_close_without_scale replaces a test of the contract*xfail(reason=*"])


def test_override_as_xfail_with_a_reason_is_taken(pytester: pytest.Pytester) -> None:
    fake = "class Fake(Echo):\n    async def close(self):\n        raise RuntimeError\n"
    override = """
    @pytest.mark.xfail(reason="it cannot be closed")
    async def test_close_without_scale(self):
        await super().test_close_without_scale()
"""
    pytester.makepyfile(f"{ECHO}\n{fake}\nclass TestFake(Suite):\n{override}")
    result = pytester.runpytest("-k", "close_without_scale or settings_refuse")
    result.assert_outcomes(passed=1, xfailed=1)


def test_unknown_capability_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{ECHO}\nclass TestFake(Suite):\n    capabilities = frozenset({{'flies'}})\n")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*TestFake.capabilities: flies: unknown; known: exit_codes, loopback, no_network,*"])
