"""Good mediators pass `MediatorContract`, which says what is wrong with bad ones."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.testing.fakes import failures

from airlock.llm.agent import AgentMediator
from airlock.llm.mediator import MediatorSettings
from airlock.testing import MediatorContract


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


@pytest.mark.parametrize(
    ("mediator", "caught_by"),
    [
        ("return 42", {"test_answer_is_text", "test_requests_at_once_are_all_answered", "test_agent_that_refuses"}),
        ("request.prompt = ''; return ''", {"test_request_is_left_as_it_is"}),
        ("raise RuntimeError", {"test_answer_is_text", "test_requests_at_once", "test_agent_that_refuses"}),
        ("raise SystemExit(2)", {"test_answer_is_text", "test_requests_at_once", "test_agent_that_refuses"}),
        (
            "try: return await ask_agent(request)\n                finally: await asyncio.sleep(30)",
            {"test_cancelled_request_ends_as_promised"},
        ),
    ],
)
def test_bad_mediator_is_caught(pytester: pytest.Pytester, mediator: str, caught_by: set[str]) -> None:
    failed = failures(pytester, suite_of(mediator))
    assert all(any(name.startswith(start) for name in failed) for start in caught_by)


@pytest.mark.usefixtures("a_short_block_is_told")
def test_mediator_that_blocks_the_loop_for_a_while_is_caught(pytester: pytest.Pytester) -> None:
    blocking = "import time; time.sleep(0.4 if request.prompt == '?' else 0); return ''"
    assert "test_event_loop_is_not_blocked" in {
        name.partition("[")[0] for name in failures(pytester, suite_of(blocking))
    }


def suite_of(mediator: str) -> str:
    return f"""
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
