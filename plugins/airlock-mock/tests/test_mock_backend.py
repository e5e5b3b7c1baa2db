"""The mock backend: it echoes, and asks when told to."""

import pytest

import airlock
from airlock import Job, LLMError, LLMRequest, Outcome, Project
from airlock.testing import BackendContract, RecordingRun, code_that_asks
from airlock_mock.backend import MockBackend


class TestMockBackend(BackendContract):
    endless_code = code_that_asks("when will this end?")

    def make_backend(self, project: Project) -> MockBackend:
        return MockBackend(project, airlock.BackendSettings())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def execute(code: str, run: RecordingRun) -> Outcome:
    backend = MockBackend(Project(name="any-name"), airlock.BackendSettings())
    await backend.scale(1)
    return await backend.execute(Job(id="1", code=code, timeout=1), run)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "code", ["print('hi')", "", "while True: pass", "héllo 😀\n", "# mock:ask nothing", "é" * 10_000]
)
async def test_code_is_echoed_and_never_run(code: str) -> None:
    run = RecordingRun()
    assert await execute(code, run) == Outcome(result={"echo": code})
    assert (run.stdout, run.stderr, run.requests) == (code, "", [])


@pytest.mark.anyio
async def test_first_line_that_asks_is_put_to_the_model() -> None:
    code = code_that_asks("how many?") + "\nprint('the rest is echoed')"
    run = RecordingRun(["42"])
    assert await execute(code, run) == Outcome(result={"echo": code, "answer": "42"})
    assert run.requests == [LLMRequest(prompt="how many?")]
    assert run.stdout == code


@pytest.mark.anyio
async def test_error_for_an_answer_is_a_script_error() -> None:
    outcome = await execute(code_that_asks("?"), RecordingRun([LLMError("no budget")]))
    assert (outcome.error, outcome.error_type) == ("LLMError: no budget", "script_error")


def test_question_has_one_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        code_that_asks("a\nb")
