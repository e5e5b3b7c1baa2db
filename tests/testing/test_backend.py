"""`airlock.testing`: good plugins pass the contracts, which say what is wrong with bad ones."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import LLMError
from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import MediatorSettings
from airlock.models import LLMRequest
from airlock.testing import MediatorContract, RecordingRun, never_answers
from airlock.testing.backend import loop_watch

pytest_plugins = ["pytester"]

ECHO = """
import asyncio, os, pytest
import airlock
from airlock.testing import BackendContract

class Echo(airlock.Backend[airlock.BackendSettings]):
    type = "echo"
    runs_code = False
    replicas = 0

    async def scale(self, replicas):
        self.replicas = replicas

    def pool(self):
        return airlock.Pool(replicas=self.replicas, idle=self.replicas)

    async def execute(self, job, run):
        await run.started()
        run.write("stdout", job.code.encode())
        if job.code == "endless":
            await asyncio.sleep(3600)
        return airlock.Outcome(result=job.code)

class Suite(BackendContract):
    endless_code = "endless"
    patience = 5

    def make_backend(self, project):
        return Fake(project, Fake.Settings())
"""

PLAIN = """
import asyncio, airlock
from airlock.testing import BackendContract
from plain_process import PlainBackend

class Suite(BackendContract):
    capabilities = frozenset({"streams_output", "subprocesses"})
    patience = 3

    def make_backend(self, project):
        return Fake(project, airlock.BackendSettings())
"""

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


@pytest.fixture(autouse=True)
def _plain_process_can_be_imported(pytester: pytest.Pytester) -> None:
    example = Path(__file__).parents[2] / "examples" / "plain_process.py"
    (pytester.path / "plain_process.py").write_text(example.read_text())


def failures(pytester: pytest.Pytester, suite: str, *arguments: str) -> set[str]:
    pytester.makepyfile(suite)
    reports = pytester.inline_run("-W", "error", "--strict-markers", "-p", "no:cacheprovider", *arguments)
    passed, _, failed = reports.listoutcomes()
    assert passed or failed, "nothing ran"
    return {report.nodeid.partition("::")[2].partition("::")[2].partition("[")[0] for report in failed}


def with_fake(base: str, fake: str) -> str:
    return f"{base}\n{fake}\nFake.type = vars(Fake).get('type', 'fake')\n\nclass TestFake(Suite):\n    pass\n"


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


@pytest.fixture
def no_children_left() -> Iterator[None]:
    """Reap what a bad backend leaves: `failures` runs it as children of this process."""
    before = children()
    yield
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def a_short_block_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report short blocks even if the watch is late, on a busy machine."""
    monkeypatch.setattr(loop_watch, "BLOCKED", 0.05)


# --- what is good passes -----------------------------------------------------------------------------------------


def test_backend_that_runs_no_code_passes(pytester: pytest.Pytester) -> None:
    assert failures(pytester, with_fake(ECHO, "Fake = Echo")) == set()


def test_backend_that_runs_code_passes(pytester: pytest.Pytester) -> None:
    assert failures(pytester, with_fake(PLAIN, "Fake = PlainBackend")) == set()


def test_backend_that_runs_another_language_passes_what_is_not_python(pytester: pytest.Pytester) -> None:
    suite = f"{ECHO.replace('runs_code = False', 'runs_code = True')}\nFake = Echo\n\nclass TestFake(Suite):\n    "
    assert failures(pytester, f"{suite}runs_python = False\n") == set()


def test_author_file_of_six_lines_is_enough(pytester: pytest.Pytester) -> None:
    example = Path(__file__).parents[2] / "examples" / "plugin" / "src" / "airlock_template.py"
    (pytester.path / "airlock_template.py").write_text(example.read_text())
    suite = """
        import airlock
        from airlock.testing import BackendContract
        from airlock_template import TemplateBackend, TemplateSettings

        class TestTemplateBackend(BackendContract):
            def make_backend(self, project: airlock.Project) -> TemplateBackend:
                return TemplateBackend(project, TemplateSettings())
    """
    assert failures(pytester, suite) == set()


def test_mediator_in_the_docs_passes_and_asks_once(pytester: pytest.Pytester) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    (source,) = (code for code in re.findall(r"```python\n(.*?)```", docs, re.DOTALL) if "RememberingMediator(" in code)
    (pytester.path / "airlock_remembering.py").write_text(source)
    suite = """
        import airlock, pytest
        from airlock.testing import MediatorContract
        from airlock_remembering import RememberingMediator, RememberingSettings

        class TestRemembering(MediatorContract):
            capabilities = frozenset({"asks_agent"})

            def make_mediator(self, project: airlock.Project) -> RememberingMediator:
                return RememberingMediator(project, RememberingSettings(most=1))

            @pytest.mark.anyio
            async def test_agent_is_asked_once(self, mediator):
                asked = []

                async def agent(request):
                    asked.append(request.prompt)
                    return f"to {request.prompt}"

                prompts = ["a", "a", "b", "b", "a"]
                answers = [await mediator.complete(airlock.LLMRequest(prompt=prompt), agent) for prompt in prompts]
                assert (answers, asked) == ([f"to {prompt}" for prompt in prompts], ["a", "b", "a"])
    """
    assert failures(pytester, suite) == set()


class TestAgentMediator(MediatorContract):
    capabilities = frozenset({"asks_agent"})

    def make_mediator(self, project: Any) -> AgentMediator:
        return AgentMediator(project, MediatorSettings())


# --- what is bad is caught ---------------------------------------------------------------------------------------


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
import time

class Fake(Echo):
    async def execute(self, job, run):
        time.sleep(0.4 if job.code == "endless" else 0)
        return await super().execute(job, run)
""",
            {"test_event_loop_is_not_blocked"},
            id="blocks the loop for a while",
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
@pytest.mark.usefixtures("no_children_left", "a_short_block_is_told")
def test_bad_backend_is_caught(pytester: pytest.Pytester, fake: str, caught_by: set[str]) -> None:
    assert failures(pytester, with_fake(ECHO, fake)) == caught_by


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
    assert failures(pytester, with_fake(PLAIN, fake), "-k", alone) == {caught_by}


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
    result = pytester.runpytest_subprocess("-k", "scale or left", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=9, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: processes of workers still run after scale(0) and close(): *"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


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


@pytest.mark.parametrize(
    ("mediator", "caught_by"),
    [
        ("return 42", {"test_answer_is_text", "test_requests_at_once_are_all_answered", "test_agent_that_refuses"}),
        ("request.prompt = ''; return ''", {"test_request_is_left_as_it_is"}),
        ("raise RuntimeError", {"test_answer_is_text", "test_requests_at_once", "test_agent_that_refuses"}),
        ("import time; time.sleep(0.4 if request.prompt == '?' else 0); return ''", {"test_event_loop_is_not_blocked"}),
        ("raise SystemExit(2)", {"test_answer_is_text", "test_requests_at_once", "test_agent_that_refuses"}),
        (
            "try: return await ask_agent(request)\n                finally: await asyncio.sleep(30)",
            {"test_cancelled_request_ends_as_promised"},
        ),
    ],
)
@pytest.mark.usefixtures("a_short_block_is_told")
def test_bad_mediator_is_caught(pytester: pytest.Pytester, mediator: str, caught_by: set[str]) -> None:
    suite = f"""
        import airlock, asyncio
        from airlock.testing import MediatorContract

        class Fake(airlock.Mediator[airlock.MediatorSettings]):
            type = "fake"

            async def complete(self, request, ask_agent):
                {mediator}

        class TestFake(MediatorContract):
            patience = 1
            _kill_patience = 0.2

            def make_mediator(self, project):
                return Fake(project, airlock.MediatorSettings())
    """
    failed = failures(pytester, suite)
    assert all(any(name.startswith(start) for name in failed) for start in caught_by)


STORE = """
        from airlock.stores.memory import MemoryStore
        from airlock.testing import StoreContract

        class Fake(MemoryStore):
            type = "fake"

            {method}

        class TestFake(StoreContract):
            def make_store(self, directory):
                return Fake()
"""


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("async def create(self, execution): await super().create(execution)", "create() must return*None*"),
        ("async def page(self, listing): return [1]", "page() must return an airlock.Summary here, not int"),
        ("def sweep(self): pass", "Airlock refuses the plugin: Fake.sweep is not async*"),
        (
            "def __init__(self, settings=None, directory=None): pass",
            "Airlock refuses the plugin: *does not call super().__init__",
        ),
    ],
)
def test_bad_store_is_told_in_words(pytester: pytest.Pytester, method: str, told: str) -> None:
    pytester.makepyfile(STORE.format(method=method))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines_random([f"*{told}", "*see docs/plugins.md, Stores; help(airlock.Store)"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_backend_that_exits_fails_its_tests_only(pytester: pytest.Pytester) -> None:
    fake = "class Fake(Echo):\n    async def execute(self, job, run):\n        raise SystemExit(3)\n"
    pytester.makepyfile(with_fake(ECHO, fake))
    result = pytester.runpytest("-k", "one_after_the_other or settings_refuse")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*execute() raised SystemExit(3): no plugin may end the server"])


# --- what is left out is said ------------------------------------------------------------------------------------


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
    result.stdout.fnmatch_lines(["*TestFake.capabilities: flies: unknown; known: no_network, private_tmp,*"])


# --- RecordingRun --------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_recording_session_gives_answers_in_turn_and_then_none() -> None:
    run = RecordingRun(["a", LLMError("no"), "b"])
    await run.started()
    assert await run.complete(LLMRequest(prompt="1")) == "a"
    with pytest.raises(LLMError, match="no"):
        await run.complete(LLMRequest(prompt="2"))
    assert await run.complete(LLMRequest(prompt="3")) == "b"
    with pytest.raises(LLMError, match="no answer to '4'"):
        await run.complete(LLMRequest(prompt="4"))
    assert [request.prompt for request in run.requests] == ["1", "2", "3", "4"]


@pytest.mark.anyio
async def test_recording_session_waits_until_something_was_recorded() -> None:
    run = RecordingRun(never_answers)
    await run.started()
    asyncio.get_running_loop().call_later(0.01, run.write, "stdout", b"now")
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout == "now")


@pytest.mark.anyio
async def test_recording_session_refuses_what_is_not_bytes() -> None:
    run = RecordingRun()
    await run.started()
    with pytest.raises(AssertionError, match="takes 'stdout' or 'stderr', and bytes"):
        run.write("stdout", "text")  # type: ignore[arg-type]
    assert len(run.faults) == 1
