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
    async def test_pip_lists_and_says_at_once_that_it_installs_nothing(self, shared: Backend[Any]) -> None:
        code = """
import subprocess, sys
def pip(*words):
    ran = subprocess.run([*words], capture_output=True, text=True)
    return [ran.returncode, ran.stdout.split()[:2], "packages:" in ran.stderr]
set_result([pip("pip", "list"), pip(sys.executable, "-m", "pip", "install", "requests")])
"""
        assert await self.result_of(shared, code) == [[0, ["Package", "Version"], False], [1, [], True]]
