"""`AttackSuite` attacks only sandboxes, and a failing test does not make others fail."""

import pytest
from tests.testing.fakes import failures

NO_SANDBOX = """
import dataclasses
import airlock
from airlock.testing.attacks import AttackSuite
from plain_process import PlainBackend

class NotPooled(airlock.Backend[airlock.BackendSettings]):
    async def scale(self, replicas): ...
    def pool(self): ...
    async def execute(self, job, run): ...

class KeepsFiles(PlainBackend):
    async def execute(self, job, run):
        return await super().execute(dataclasses.replace(job, code=job.code.replace("os.unlink", "len")), run)

class Fake({base}):
    type = "fake"

class TestFake(AttackSuite):
    def make_backend(self, project):
        return Fake(project, airlock.BackendSettings())
"""


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("NotPooled", "attacks need a PooledBackend, and Fake is not one"),
        (
            "PlainBackend",
            "attacks did not run, as they would harm this machine: a script of Fake removed *airlock-canary-*",
        ),
        ("KeepsFiles", "attacks did not run, as they would harm this machine: a script of Fake killed a process of *"),
    ],
)
def test_no_attack_is_made_on_what_is_no_sandbox(pytester: pytest.Pytester, base: str, told: str) -> None:
    pytester.makepyfile(NO_SANDBOX.replace("{base}", base))
    ran = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-k", "descriptors_over")  # which harms nobody
    assert ran.parseoutcomes().keys() <= {"error", "errors", "deselected"}
    ran.stdout.fnmatch_lines([f"*{told}"])


def test_failed_test_leaves_those_after_it_the_loop_that_they_share(pytester: pytest.Pytester) -> None:
    suite = """
import asyncio, pytest
from airlock.testing.attacks.arena import Arena

class TestShared(Arena):
    def make_backend(self, project):
        raise NotImplementedError

    def why_not(self, requirement):
        return None

    def _is_taken(self, directory):
        return True

    @pytest.fixture(scope="class")
    @classmethod
    async def answered(cls):
        answered = asyncio.get_running_loop().create_future()
        answered.set_result(42)
        yield answered

    @pytest.mark.anyio
    async def test_a_failing_one(self, answered):
        assert await answered == 41

    @pytest.mark.anyio
    async def test_one_after_it(self, answered):
        assert await answered == 42
"""
    assert failures(pytester, suite) == {"test_core_takes_the_class", "test_a_failing_one"}
