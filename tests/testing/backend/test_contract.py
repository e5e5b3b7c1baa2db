"""Good backends pass `BackendContract`, and a failing test does not make others fail."""

from pathlib import Path

import pytest
from tests.testing.fakes import ECHO, PLAIN, failures, with_fake


def test_backend_that_runs_no_code_passes(pytester: pytest.Pytester) -> None:
    assert failures(pytester, with_fake(ECHO, "Fake = Echo")) == set()


def test_backend_that_runs_code_passes(pytester: pytest.Pytester) -> None:
    assert failures(pytester, with_fake(PLAIN, "Fake = PlainBackend")) == set()


def test_backend_that_runs_another_language_passes_what_is_not_python(pytester: pytest.Pytester) -> None:
    suite = f"{ECHO.replace('runs_code = False', 'runs_code = True')}\nFake = Echo\n\nclass TestFake(Suite):\n    "
    assert failures(pytester, f"{suite}runs_python = False\n") == set()


def test_author_file_of_six_lines_is_enough(pytester: pytest.Pytester) -> None:
    example = Path(__file__).parents[3] / "examples" / "plugin" / "src" / "airlock_template.py"
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


def test_tests_share_a_backend_until_one_fails(pytester: pytest.Pytester) -> None:
    suite = f"""{ECHO}
Fake = Echo
seen = []

class TestFake(Suite):
    @pytest.mark.anyio
    async def test_shared_1(self, shared):
        seen.append(shared)

    @pytest.mark.anyio
    async def test_shared_2_which_fails(self, shared):
        assert shared is not seen[0]

    @pytest.mark.anyio
    async def test_shared_3(self, shared):
        assert shared is not seen[0]
        assert seen[0].replicas == 0
        assert shared.replicas == 1
"""
    assert failures(pytester, suite, "-k", "test_shared") == {"test_shared_2_which_fails"}
