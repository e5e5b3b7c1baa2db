"""examples/agent.py, with a real server and a small program in place of the model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunningServer

AGENT = Path(__file__).parents[2] / "examples" / "agent.py"

MODEL = """
import sys
prompt = sys.stdin.read()
if prompt == "colour?":
    print("blue", end="")
elif "it broke" in prompt:
    print("Then so:\\n```\\nask colour?\\n```")
else:
    print("```python\\nsay trying\\nfail it broke\\n```")
"""


def run_agent(url: str, model: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(AGENT), f"{sys.executable} {model}", "Which colour?", "p"]
    return subprocess.run(
        arguments, env={**os.environ, "AIRLOCK_URL": url}, capture_output=True, text=True, check=False
    )


def test_the_agent_mends_its_script_answers_its_question_and_prints_the_result(
    serve: Callable[..., RunningServer], tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    ended = run_agent(serve("projects: {p: {backend: scripted}}\n").url, str(tmp_path / "model.py"))
    assert (ended.stdout, ended.stderr, ended.returncode) == ("blue\n", "", 0)


def test_the_agent_says_when_the_model_writes_no_script(serve: Callable[..., RunningServer], tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("print('Blue.')")
    ended = run_agent(serve("projects: {p: {backend: scripted}}\n").url, str(tmp_path / "model.py"))
    assert (ended.stderr, ended.returncode) == ("the model wrote no script: Blue.\n\n", 1)


def test_the_agent_has_under_40_lines() -> None:
    assert len(AGENT.read_text().splitlines()) < 40
