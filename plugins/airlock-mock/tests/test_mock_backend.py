"""The mock backend: it echoes, and asks when told to."""

import pytest

import airlock
from airlock import Job, LLMError, LLMRequest, Outcome, Project
from airlock.testing import BackendContract, RecordingSession, code_that_asks
from airlock_mock.backend import MockBackend


class TestMockBackend(BackendContract):
    endless_code = code_that_asks("when will this end?")

    def make_backend(self, project: Project) -> MockBackend:
        return MockBackend(project, airlock.BackendSettings())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def run(code: str, session: RecordingSession) -> Outcome:
    backend = MockBackend(Project(name="any-name"), airlock.BackendSettings())
    await backend.scale(1)
    return await backend.execute(Job(id="1", code=code, timeout=1), session)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "code", ["print('hi')", "", "while True: pass", "héllo 😀\n", "# mock:ask nothing", "é" * 10_000]
)
async def test_code_is_echoed_and_never_run(code: str) -> None:
    session = RecordingSession()
    assert await run(code, session) == Outcome(result={"echo": code})
    assert (session.stdout, session.stderr, session.requests) == (code, "", [])


@pytest.mark.anyio
async def test_first_line_that_asks_is_put_to_the_model() -> None:
    code = code_that_asks("how many?") + "\nprint('the rest is echoed')"
    session = RecordingSession(["42"])
    assert await run(code, session) == Outcome(result={"echo": code, "answer": "42"})
    assert session.requests == [LLMRequest(prompt="how many?")]
    assert session.stdout == code


@pytest.mark.anyio
async def test_error_for_an_answer_is_a_script_error() -> None:
    outcome = await run(code_that_asks("?"), RecordingSession([LLMError("no budget")]))
    assert (outcome.error, outcome.error_type) == ("LLMError: no budget", "script_error")


def test_question_has_one_line() -> None:
    with pytest.raises(ValueError, match="one line"):
        code_that_asks("a\nb")
