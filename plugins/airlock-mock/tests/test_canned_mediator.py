"""The canned mediator: answers from a list."""

import pytest
from pydantic import ValidationError

from airlock import LLMRequest, Project
from airlock.testing import MediatorContract, never_answers
from airlock_mock.mediation import CannedMediator, CannedSettings


class TestCannedMediator(MediatorContract):
    def make_mediator(self, project: Project) -> CannedMediator:
        return CannedMediator(project, CannedSettings(answers=["yes", "no"]))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_answers_come_in_turn_and_from_the_start_again_without_the_agent() -> None:
    mediator = CannedMediator(Project(name="p"), CannedSettings(answers=["one", "two"]))
    answers = [await mediator.complete(LLMRequest(prompt="?"), never_answers) for _ in range(3)]
    assert answers == ["one", "two", "one"]


@pytest.mark.parametrize("settings", [{}, {"answers": []}, {"answers": [1]}, {"answers": "one"}, {"answer": ["one"]}])
def test_settings_without_answers_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CannedSettings.model_validate(settings)
