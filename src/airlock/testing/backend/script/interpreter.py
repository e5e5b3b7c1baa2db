"""The part of `BackendContract` about the interpreters that a script starts."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs


@pytest.mark.anyio
class Interpreter(BackendBench):
    """`python` on PATH is the script's own Python, and pip says where packages come from."""

    @needs("runs_code", "python_main", "subprocesses")
    async def test_every_name_of_python_is_the_scripts_own(self, shared: Backend[Any]) -> None:
        code = """
import json, os, subprocess, sys
ask = "import json, os, sys; print(json.dumps([os.path.dirname(sys.executable), sys.prefix, sys.version]))"
own = [os.path.dirname(sys.executable), sys.prefix, sys.version]
names = ["python", "python3", "python%d.%d" % sys.version_info[:2], sys.executable]
set_result([json.loads(subprocess.check_output([name, *flags, "-c", ask])) == own
            for name in names for flags in ([], ["-I"])])
"""
        assert await self.result_of(shared, code) == [True] * 8

    @needs("runs_code", "python_main", "subprocesses")
    async def test_flags_are_those_of_python_main(self, shared: Backend[Any]) -> None:
        code = """
import subprocess, sys
mine = [[name, getattr(sys.flags, name)] for name in sys.flags.__match_args__ if name != "int_max_str_digits"]
ask = f"import sys; print([[name, getattr(sys.flags, name)] for name, _ in {mine}] == {mine})"
child = subprocess.check_output([sys.executable, *subprocess._args_from_interpreter_flags(), "-c", ask], text=True)
set_result([child, list(sys.flags)[:3], subprocess._args_from_interpreter_flags(), sys.orig_argv])
"""
        assert await self.result_of(shared, code) == ["True\n", [0, 0, 0], [], ["python", "/workspace/main.py"]]

    @needs("runs_code", "python_main", "subprocesses")
    async def test_pip_lists_and_says_at_once_that_it_installs_nothing(self, shared: Backend[Any]) -> None:
        code = """
import subprocess, sys
def pip(*words):
    ran = subprocess.run([*words], capture_output=True, text=True)
    return [ran.returncode, ran.stdout.split()[:2], "packages:" in ran.stderr]
set_result([pip("pip", "list"), pip(sys.executable, "-m", "pip", "install", "requests")])
"""
        assert await self.result_of(shared, code) == [[0, ["Package", "Version"], False], [1, [], True]]
