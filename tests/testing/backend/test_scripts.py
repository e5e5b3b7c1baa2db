"""The contract says what is wrong with a backend that runs code."""

import pytest
from tests.testing.fakes import PLAIN, failures, with_fake

IMPATIENT = "\nSuite.patience = 3\n"  # with what never comes


@pytest.mark.parametrize(
    ("fake", "caught_by"),
    [
        pytest.param(
            """
class Fake(PlainBackend):
    history = ""
    async def execute(self, job, run):
        self.history += job.code + "\\n"
        return await super().execute(airlock.Job(id=job.id, code=self.history, timeout=job.timeout), run)
""",
            "test_state_does_not_reach_the_next_script",
            id="leaks state",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    async def execute(self, job, run):
        import os
        code = f"import os; os.environ.update({dict(os.environ)!r})\\n" + job.code
        return await super().execute(airlock.Job(id=job.id, code=code, timeout=job.timeout), run)
""",
            "test_environment_of_the_host_cannot_be_seen",
            id="shows the host's environment",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    async def execute(self, job, run):
        class Late:
            started, complete = run.started, run.complete
            held = []
            def write(self, *what):
                self.held.append(what)
        late = Late()
        outcome = await super().execute(job, late)
        for what in late.held:
            run.write(*what)
        return outcome
""",
            "test_output_can_be_seen_while_the_script_runs",
            id="shows output at the end",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    async def execute(self, job, run):
        class OneAtATime:
            started, write = run.started, run.write
            lock = asyncio.Lock()
            async def complete(self, request):
                async with self.lock:
                    return await run.complete(request)
        return await super().execute(job, OneAtATime())
""",
            "test_questions_of_threads_are_open_at_once_and_get_their_own_answers",
            id="asks one question at a time",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    enforces = frozenset({"processes"})
""",
            "test_fork_over_limits_processes_fails_and_the_children_end",
            id="claims a limit that it does not hold",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    pass
Suite.capabilities = Suite.capabilities | {"private_tmp"}
""",
            "test_files_do_not_reach_the_next_script",
            id="shares its /tmp",
        ),
        pytest.param(
            """
class Fake(PlainBackend):
    pass
Suite.capabilities = Suite.capabilities | {"no_network"}
""",
            "test_server_on_this_machine_cannot_be_reached",
            id="has a network",
        ),
    ],
)
def test_bad_backend_that_runs_code_is_caught(pytester: pytest.Pytester, fake: str, caught_by: str) -> None:
    alone = f"{caught_by} or test_result_is_what"
    assert failures(pytester, with_fake(PLAIN + IMPATIENT, fake), "-k", alone) == {caught_by}


def test_script_that_is_not_killed_is_caught(pytester: pytest.Pytester) -> None:
    fake = """
import plain_process
kill = plain_process.kill
plain_process.kill = lambda process: asyncio.get_running_loop().call_later(3, kill, process)
Fake = PlainBackend
Suite._kill_patience = 0.5
"""
    names = "test_cancelled_script_does_not_run_on"
    assert failures(pytester, with_fake(PLAIN, fake), "-k", f"{names} or test_settings_refuse") == {names}
