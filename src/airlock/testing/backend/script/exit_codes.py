"""The part of `BackendContract` about exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from airlock.backends import Backend
from airlock.testing.backend.base import BackendBench
from airlock.testing.backend.capabilities import needs

ENDS = {
    "last line": ("print(1)", None, 0),
    "exception": ("1 / 0", "script_error", 1),
    "sys.exit": ("import sys; sys.exit(300)", "script_error", 300 & 0xFF),
    "sys.exit(text)": ("import sys; sys.exit('no')", "script_error", 1),
    "os._exit": ("import os; os._exit(7)", "script_error", 7),
    "os._exit(0)": ("import os; os._exit(0)", None, 0),
    "signal": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "script_error", -9),
    "interrupt": ("raise KeyboardInterrupt", "script_error", -2),
}


@pytest.mark.anyio
class ExitCodes(BackendBench):
    """Those that CPython ends with."""

    @needs("runs_code", "exit_codes")
    @pytest.mark.parametrize(("code", "error_type", "exit_code"), ENDS.values(), ids=ENDS)
    async def test_exit_code_is_that_of_cpython(
        self, shared: Backend[Any], code: str, error_type: str | None, exit_code: int
    ) -> None:
        outcome, run = await self.run(shared, code)
        assert (outcome.error_type, outcome.exit_code) == (error_type, exit_code), run.stderr
