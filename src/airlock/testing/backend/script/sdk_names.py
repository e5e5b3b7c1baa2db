"""The part of `BackendContract` about where a script finds `llm`, `memory`, `settings` and `set_result`."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

HELPER = """
import os, sys
sys.path.insert(0, os.getcwd())
with open("helper_of_a_script.py", "w") as file:
    file.write("def ask(text):\\n    memory.set('asked', 'last', text)\\n    return llm.complete(text)\\n")
import helper_of_a_script
set_result(helper_of_a_script.ask("from a helper"))
"""
IMPORTS = """
import airlock
from airlock import LLMError, llm, memory, set_result, settings
asked = llm
import llm
set_result([llm.complete("one"), asked.complete("two"), airlock.llm.complete("three"), settings.get("A")])
"""
CHILD = """
import multiprocessing
def ask(text):
    try:
        return llm.complete(text)
    except RuntimeError as error:
        return str(error)
with multiprocessing.get_context("fork").Pool(1) as pool:
    set_result(pool.map(ask, ["?"]))
"""


@pytest.mark.anyio
class SDKNames(BackendBench):
    """They are builtins, so that helper modules have them, and modules that can be imported."""

    @needs("runs_code")
    async def test_module_that_the_script_writes_has_the_names_too(self, shared: Backend[Any]) -> None:
        outcome, run = await self.run(shared, HELPER, answers=["yes"])
        assert (outcome.error, outcome.result) == (None, "yes"), run.stderr
        assert dict(outcome.memory_updates) == {"asked.last": "from a helper"}

    @needs("runs_code")
    async def test_names_can_be_imported(self, shared: Backend[Any]) -> None:
        result = await self.result_of(shared, IMPORTS, answers=["1", "2", "3"], settings={"A": "b"})
        assert result == ["1", "2", "3", "b"]

    @needs("runs_code", "subprocesses")
    async def test_question_of_a_child_process_is_an_error_that_names_threads(self, shared: Backend[Any]) -> None:
        (said,) = await self.result_of(shared, CHILD)
        assert said.startswith("only the script's own process can talk to Airlock")
        assert "threads" in said

    @needs("runs_code")
    async def test_prompt_of_1_mib_is_asked_and_a_longer_one_is_an_error_to_catch(self, shared: Backend[Any]) -> None:
        code = """
try:
    llm.complete("x" * (1 << 20) + "y")
except ValueError as error:
    print(error)
    set_result(llm.complete("x" * (1 << 20)))
"""
        outcome, run = await self.run(shared, code, answers=["long"])
        assert outcome.result == "long"
        assert [len(request.prompt) for request in run.requests] == [1 << 20]
        assert run.stdout == "llm.complete: the prompt has 1048577 bytes; limits.prompt is 1048576\n"
