"""Values without a JSON form, exceptions that cannot be printed, and source that is not Python."""

from __future__ import annotations

import pytest

from airlock.backends import one_line

from .arena import Arena
from .canaries import Pool

WITHOUT_JSON = (
    "object()",
    "[1j]",
    "{b'bytes': 1}",
    "(n for n in 'ab')",
    "'\\ud800'",
    "cycle",
    "deep",
    "10 ** 5000",
)
TOO_DEEP = "deep = 1\nfor _ in range(500): deep = [deep]\nset_result(deep)"
EXCEPTIONS = (
    "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
    "class E(Exception):\n    def __str__(self): return 'x' * 100_000_000\nraise E",
    "class E(BaseException): pass\nraise E('\\ud800 \\n \\0 \\x1b[31m')",
    "try: raise ExceptionGroup('g', [ValueError(n) for n in range(1000)])\nexcept NameError: 1 / 0  # before 3.11",
    "e = ValueError(1)\nfor n in range(5000):\n    n = ValueError(n); n.__cause__ = e; e = n\nraise e",
    "import sys\nsys.stderr = None\n1 / 0",
    "import sys\nsys.stdout.close(); sys.stderr.close()\n1 / 0",
    "import sys\nsys.excepthook = None\nsys.modules.clear()\n1 / 0",
    "import traceback\ntraceback.TracebackException = None\n1 / 0",
    "raise SystemExit(type('S', (), {'__str__': lambda s: 1 / 0})())",
)
SOURCES = ("\0", "print(1)\0", "# coding: utf-7\n1", "(" * 100_000, "x" * 1_000_000, "\ud7ff", "")
TAMPERING = (
    "import builtins\nbuiltins.len = None\nset_result(1)",
    "import json\njson.dumps = json.loads = None\nset_result(1)",
    "import sys\nsys.modules.clear()\nset_result(1)",
)


@pytest.mark.anyio
class HostileValues(Arena):
    """Each is the script's own error, in one readable line."""

    @pytest.mark.parametrize("how", ["set_result({})", "memory.set('a', 'b', {})"])
    async def test_a_value_without_json_form_is_refused(self, pool: Pool, how: str) -> None:
        tries = "".join(
            f"try: {how.format(value)}\nexcept (TypeError, ValueError, RecursionError): refused.append({value!r})\n"
            for value in WITHOUT_JSON
        )
        code = f"""
cycle = []; cycle.append(cycle)
deep = []
for _ in range(100_000): deep = [deep]
refused = []
{tries}
print(*refused, sep="\\n")
{how.format("cycle")}
"""
        ran = await pool.run(code)
        assert ran.stdout.splitlines() == list(WITHOUT_JSON)
        assert ran.error_type == "script_error"
        assert (ran.outcome.result, ran.outcome.memory_updates) == (None, {})

    async def test_a_value_nested_too_deep_for_clients_is_refused(self, pool: Pool) -> None:
        ran = await pool.run(TOO_DEEP)
        said = "ValueError: set_result: result is nested deeper than 100 levels"
        assert (ran.error_type, ran.error) == ("script_error", said)

    async def test_a_hostile_exception_is_one_readable_line(self, pool: Pool) -> None:
        runs = await self.run_all(pool, EXCEPTIONS)
        assert {code: ran.error_type for code, ran in runs.items()} == dict.fromkeys(EXCEPTIONS, "script_error")
        for ran in runs.values():
            shown = one_line(ran.error or "")  # as core does
            assert 0 < len(shown) <= 2_000
            assert shown.isprintable()
            shown.encode()

    async def test_source_text_of_any_kind_ends(self, pool: Pool) -> None:
        runs = await self.run_all(pool, SOURCES)
        assert {ran.error_type for ran in runs.values()} <= {None, "script_error"}

    async def test_tampering_with_modules_hurts_only_the_script(self, pool: Pool) -> None:
        runs = await self.run_all(pool, TAMPERING)
        assert {ran.error_type for ran in runs.values()} <= {None, "script_error"}
        assert await pool.result("import json\nset_result(len(json.dumps(1)))") == 1
