"""The contract says what is wrong with a backend that runs no code."""

import pytest
from tests.testing.fakes import ECHO, PLAIN, failures, with_fake

ALL_JOBS = {
    "test_job_starts_once_and_before_anything_else",
    "test_jobs_one_after_the_other",
    "test_jobs_at_once_as_many_as_replicas",
    "test_job_after_a_cancelled_one_works",
    "test_scale_brings_it_up_again_after_0",
    "test_pool_is_a_pool_while_a_job_runs",
}
CANCELLED_JOBS = {
    "test_cancelled_job_ends_as_promised",
    "test_job_after_a_cancelled_one_works",
    "test_job_cancelled_before_it_starts_ends_as_promised",
}


@pytest.mark.parametrize(
    ("fake", "caught_by"),
    [
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        try:
            return await super().execute(job, run)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
            raise

Suite._kill_patience = 0.2
""",
            CANCELLED_JOBS,
            id="hangs in its kill",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        try:
            return await super().execute(job, run)
        except asyncio.CancelledError:
            return airlock.Outcome(error="cancelled", error_type="script_error")
""",
            CANCELLED_JOBS,
            id="swallows cancellation",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        return airlock.Outcome(result=job.code)
""",
            ALL_JOBS | CANCELLED_JOBS,
            id="never starts",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        await run.started()
        return await super().execute(job, run)
""",
            ALL_JOBS | CANCELLED_JOBS,
            id="starts twice",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        run.write("stdout", b"early")
        return await super().execute(job, run)
""",
            ALL_JOBS | CANCELLED_JOBS,
            id="writes before it starts",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        async def write():
            run.write("stdout", b"early")
        await asyncio.gather(write(), return_exceptions=True)
        return await super().execute(job, run)
""",
            ALL_JOBS | {"test_cancelled_job_ends_as_promised"},
            id="writes before it starts in another task",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        await super().execute(job, run)
        return airlock.Outcome(result=float("nan"))
""",
            ALL_JOBS,
            id="result is not JSON",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        await super().execute(job, run)
        return airlock.Outcome(error="no cause is given")
""",
            ALL_JOBS,
            id="error without error_type",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        await super().execute(job, run)
        return airlock.Outcome(error="no", error_type="oops")
""",
            ALL_JOBS,
            id="error_type that nobody knows",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def execute(self, job, run):
        await super().execute(job, run)
        raise ValueError("a failure of the script")
""",
            ALL_JOBS,
            id="raises",
        ),
        pytest.param(
            """
class Fake(Echo):
    is_used = False
    async def execute(self, job, run):
        if self.is_used:
            raise RuntimeError("one job is all it can do")
        self.is_used = True
        return await super().execute(job, run)
""",
            {
                "test_jobs_one_after_the_other",
                "test_jobs_at_once_as_many_as_replicas",
                "test_job_after_a_cancelled_one_works",
            },
            id="breaks with its first job",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def scale(self, replicas):
        asyncio.get_running_loop().call_later(0.05, setattr, self, "replicas", replicas)
""",
            {
                "test_scale_returns_when_all_workers_stand_ready",
                "test_scale_to_what_it_is_changes_nothing",
                "test_scale_up_and_down_again",
                "test_scale_brings_it_up_again_after_0",
            },
            id="is not ready when scale returns",
        ),
        pytest.param(
            """
class Fake(Echo):
    def __init__(self, project, settings):
        super().__init__(project, settings)
        open(os.devnull).close()
""",
            {"test_construction_does_no_io_and_needs_no_event_loop"},
            id="does I/O when it is made",
        ),
        pytest.param(
            """
class LooseSettings(airlock.BackendSettings):
    model_config = {"extra": "ignore"}

class Fake(Echo):
    Settings = LooseSettings
""",
            {"test_settings_refuse_an_unknown_key"},
            id="takes unknown settings",
        ),
        pytest.param(
            """
class Options(airlock.BackendSettings):
    image: str = None

class Fake(Echo):
    Settings = Options
""",
            {"test_core_takes_the_class"},
            id="has a default that its field refuses",
        ),
        pytest.param(
            """
class Fake(Echo):
    async def scale(self, replicas):
        for _ in range(self.replicas, replicas):
            os.posix_spawn("/bin/sleep", ["sleep", "10"], {})
        await super().scale(replicas)

Suite._kill_patience = 0.2
""",
            {"test_nothing_is_left_after_close"},
            id="leaves processes",
        ),
    ],
)
@pytest.mark.usefixtures("no_children_left")
def test_bad_backend_is_caught(pytester: pytest.Pytester, fake: str, caught_by: set[str]) -> None:
    assert failures(pytester, with_fake(ECHO, fake)) == caught_by


@pytest.mark.usefixtures("a_short_block_is_told")
def test_backend_that_blocks_the_loop_for_a_while_is_caught(pytester: pytest.Pytester) -> None:
    fake = """
import time

class Fake(Echo):
    async def execute(self, job, run):
        time.sleep(0.4 if job.code == "endless" else 0)
        return await super().execute(job, run)
"""
    assert failures(pytester, with_fake(ECHO, fake)) == {"test_event_loop_is_not_blocked"}


def test_worker_whose_stop_ends_nothing_is_caught_and_pytest_lives(pytester: pytest.Pytester) -> None:
    fake = """
from plain_process import PlainWorker

kept = []

class Idle(PlainWorker):
    async def stop(self):
        kept.append(self)

class Fake(PlainBackend):
    async def start_worker(self):
        worker = Idle(self.project.limits)
        await worker.start(())
        return worker

Suite._kill_patience = 0.5
"""
    pytester.makepyfile(with_fake(PLAIN, fake))
    result = pytester.runpytest_subprocess("-k", "scale_to or nothing_is_left", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: processes of workers still run after scale(0) and close(): *"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_backend_that_exits_fails_its_tests_only(pytester: pytest.Pytester) -> None:
    fake = "class Fake(Echo):\n    async def execute(self, job, run):\n        raise SystemExit(3)\n"
    pytester.makepyfile(with_fake(ECHO, fake))
    result = pytester.runpytest("-k", "one_after_the_other or settings_refuse")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*execute() raised SystemExit(3): no plugin may end the server"])
