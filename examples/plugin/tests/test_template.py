"""The contract, and what this backend adds to it."""

import pytest
from airlock_template import TemplateBackend, TemplateSettings

import airlock
from airlock.testing import BackendContract, RecordingRun


def backend(strict: bool = True) -> TemplateBackend:
    return TemplateBackend(airlock.Project(name="letters"), TemplateSettings(strict=strict))


class TestTemplateBackend(BackendContract):
    def make_backend(self, project: airlock.Project) -> TemplateBackend:
        return TemplateBackend(project, TemplateSettings())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_settings_fill_the_template() -> None:
    job = airlock.Job(id="1", code="Dear $name", timeout=1, settings={"name": "Ada"})
    outcome = await backend().execute(job, RecordingRun())
    assert outcome.result == "Dear Ada"


@pytest.mark.anyio
@pytest.mark.parametrize(("strict", "error"), [(True, "KeyError: 'name'"), (False, None)])
async def test_placeholder_without_a_setting(strict: bool, error: str | None) -> None:
    job = airlock.Job(id="1", code="Dear $name", timeout=1)
    assert (await backend(strict).execute(job, RecordingRun())).error == error
