"""Where a script finds its names."""

import importlib.util
import sys
from pathlib import Path

import pytest
from tests.worker.conftest import Ends, own_names, run

from airlock.worker import codec, names

NAMES = ["LLMError", "llm", "memory", "set_result", "settings"]


def test_they_are_builtins_and_no_globals_of_the_script(ends: Ends) -> None:
    code = f"import builtins\nset_result([n for n in {NAMES} if hasattr(builtins, n) and n not in globals()])"
    assert run(code, ends[0]) is None
    assert ends[1].receive() == (codec.RESULT, NAMES)


def test_the_module_airlock_has_them_and_nothing_else(ends: Ends) -> None:
    code = """
    import airlock, importlib.util
    from airlock import *
    here = globals()
    from airlock import LLMError, llm, memory, set_result, settings
    set_result([
        [n for n in sorted(vars(airlock)) if not n.startswith("_")],
        airlock.llm is llm and here["memory"] is memory,
        importlib.util.find_spec("airlock").origin,
        LLMError.__module__,
    ])
    """
    assert run(code, ends[0]) is None
    assert ends[1].receive() == (codec.RESULT, [NAMES, True, "the sandbox", "airlock"])


def test_the_module_llm_asks(ends: Ends) -> None:
    ends[1].send(codec.ANSWER, {"id": 1, "answer": "yes"})
    code = "import llm\nfrom llm import LLMError, complete\nset_result([llm.complete('?'), LLMError.__name__])"
    assert run(code, ends[0]) is None
    ends[1].receive()
    assert ends[1].receive() == (codec.RESULT, ["yes", "LLMError"])


def test_a_module_llm_that_is_installed_is_found_first(
    ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llm.py").write_text("mine = 1")
    monkeypatch.syspath_prepend(tmp_path)
    assert run("import llm; set_result(llm.mine)", ends[0]) is None
    assert ends[1].receive() == (codec.RESULT, 1)


def test_names_that_a_script_assigns_are_its_own(ends: Ends) -> None:
    code = "settings = {'a': 1}\nimport airlock\nset_result([settings, airlock.settings.get('a')])"
    assert run(code, ends[0]) is None
    assert ends[1].receive() == (codec.RESULT, [{"a": 1}, None])


def test_the_next_script_of_the_process_gets_its_own_and_no_second_finder() -> None:
    with own_names():
        for value in ("1", "2"):
            names.provide(settings=value)
        assert (settings, sys.meta_path.count(names.LastFinder)) == ("2", 1)  # type: ignore[name-defined] # noqa: F821
        assert importlib.util.find_spec("llm") is not None
        assert importlib.util.find_spec("llms") is None
