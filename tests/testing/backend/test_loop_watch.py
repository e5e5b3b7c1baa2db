"""A call that blocks the event loop is reported."""

import pytest
from tests.testing.fakes import ECHO, with_fake


def test_call_that_blocks_the_loop_for_good_is_interrupted_and_told_with_its_place(pytester: pytest.Pytester) -> None:
    fake = """
import subprocess

class Fake(Echo):
    async def execute(self, job, run):
        await run.started()
        subprocess.run(["sleep", "600"])

Suite.patience = 1
"""
    pytester.makepyfile(with_fake(ECHO, fake))
    result = pytester.runpytest("-k", "test_jobs_one_after_the_other")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*the event loop was blocked for more than 1 s:",
            '*test_call_that_blocks*.py", line *, in execute',
            '*subprocess.run(?"sleep", "600"?)',
            "*This test is part of Airlock's contract: see docs/plugins.md, Backends; help(airlock.Backend)",
        ]
    )
