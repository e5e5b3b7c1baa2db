"""The code that runs inside a sandbox, here over a plain socket pair: how a script ends, and what it sees."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.worker.conftest import Ends, end, run

from airlock.worker import codec, script


def test_child_process_of_a_script_cannot_use_the_channel(ends: Ends) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            ends[0].send(codec.RESULT, "forged by a child")
        except RuntimeError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_traceback_has_the_scripts_lines_and_none_of_ours(
    ends: Ends, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = """
    def half(x):
        return x / 0

    half(3)
    """
    assert run(code, ends[0]) == "ZeroDivisionError: division by zero"
    stderr = capsys.readouterr().err
    assert f'File "{tmp_path}/main.py", line 3, in half' in stderr
    assert "return x / 0" in stderr
    assert "airlock" not in stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.exit()", None),
        ("import sys; sys.exit(0)", None),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit(256)", None),
        ("import sys; sys.exit(True)", "SystemExit: 1"),
        ("import sys; sys.exit(-1)", "SystemExit: 255"),
        ("import sys; sys.exit(1 << 99)", "SystemExit: 255"),
        ("import sys; sys.exit('sorry')", "SystemExit: sorry"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('\\ud800 bad')", "ValueError: \\ud800 bad"),
        ("def f(:", "SyntaxError: invalid syntax (main.py, line 1)"),
        ("'\\0'\n\0", "SyntaxError: source code string cannot contain null bytes"),
        ("\ufeffpass", None),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E: <str() raised ValueError>"),
        (
            "import sys; sys.stdout = sys.stderr = None; 1/0",
            "ZeroDivisionError: division by zero",
        ),
    ],
)
def test_ends_of_a_script(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, error: str | None
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # so that what a script does to them is undone
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    said = run(code, ends[0])
    if sys.version_info < (3, 11, 4) and said == "ValueError: source code string cannot contain null bytes":
        return
    assert said == error


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("pass", 0),
        ("1/0", 1),
        ("import sys; sys.exit(300)", 44),
        ("import sys; sys.exit('sorry')", 1),
        ("raise KeyboardInterrupt", -2),
    ],
)
def test_exit_code_is_that_of_cpython(
    ends: Ends, capsys: pytest.CaptureFixture[str], code: str, exit_code: int
) -> None:
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert end(code, ends[0])["exit_code"] == theirs.returncode == exit_code


def test_text_of_an_exit_is_shown_whole(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run("raise SystemExit('x' * 5000)", ends[0]) or "") < 5000
    assert capsys.readouterr().err == "x" * 5000 + "\n"


def test_script_is_main(ends: Ends) -> None:
    run("import __main__; set_result([__name__, __main__.x if 'x' in vars(__main__) else 'no', len(dir())>5])", ends[0])
    assert ends[1].receive()[1][:2] == ["__main__", "no"]


def test_worker_imports_only_the_standard_library_and_never_threading() -> None:
    """Run it as in a sandbox: isolated, without site-packages, under another package name."""
    folder = Path(script.__file__).parent
    code = f"""
        import importlib.util, json, sys
        spec = importlib.util.spec_from_file_location(
            "airlock_worker", {str(folder / "__init__.py")!r}, submodule_search_locations=[{str(folder)!r}])
        sys.modules["airlock_worker"] = importlib.util.module_from_spec(spec)
        import airlock_worker.codec, airlock_worker.script, airlock_worker.sdk
        print(json.dumps(sorted(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-I", "-S", "-c", textwrap.dedent(code)], capture_output=True, check=True)
    modules = json.loads(done.stdout)
    assert "threading" not in modules
    assert (
        not {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"airlock_worker", "__main__"}
    )
