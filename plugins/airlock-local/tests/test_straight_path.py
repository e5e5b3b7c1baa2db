"""A script runs, talks, and its result comes back."""

import asyncio
import statistics
import time
from typing import Any

import pytest

from airlock import LLMError, LLMRequest

pytestmark = pytest.mark.anyio


async def test_print_arrives_as_stdout(local: Any) -> None:
    ran = await local.run("print('hello')")
    assert (ran.stdout, ran.stderr, ran.error) == ("hello\n", "", None)


async def test_the_session_is_told_of_the_start_exactly_once(local: Any) -> None:
    assert (await local.run("pass")).run.starts == 1


async def test_the_last_result_counts(local: Any) -> None:
    assert await local.result("set_result(1); set_result({'a': [1, 2.5, None, True, 'ü']})") == {
        "a": [1, 2.5, None, True, "ü"]
    }


async def test_settings_are_readable(local: Any) -> None:
    code = "set_result([settings.get('A'), settings.get('B', 'none'), settings.keys()])"
    assert await local.result(code, settings={"A": "1"}) == ["1", "none", ["A"]]


async def test_memory_updates_hold_what_the_script_set(local: Any) -> None:
    code = "memory.set('run', 'n', memory.get('run', 'n') + 1); set_result(memory.get('run', 'n'))"
    ran = await local.run(code, memory={"run.n": 41, "other.x": 0})
    assert (ran.result, ran.outcome.memory_updates) == (42, {"run.n": 42})


async def test_llm_answers_reach_the_script(local: Any) -> None:
    assert await local.result("set_result(llm.complete('hi', model='m'))") == "m says hi"


async def test_requests_of_several_threads_are_open_at_once_and_get_their_own_answers(local: Any) -> None:
    opened: list[str] = []
    all_open = asyncio.Event()

    async def answer(request: LLMRequest) -> str:
        opened.append(request.prompt)
        if len(opened) == 8:
            all_open.set()
        await all_open.wait()
        return request.prompt * 2

    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    set_result(list(pool.map(llm.complete, "abcdefgh")))
"""
    ran = await local.run(code, answer=answer)
    assert ran.result == ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]


async def test_an_error_as_answer_raises_in_the_script(local: Any) -> None:
    async def refuse(request: LLMRequest) -> str:
        raise LLMError("no budget")

    code = "try:\n    llm.complete('x')\nexcept LLMError as error:\n    set_result(str(error))"
    assert (await local.run(code, answer=refuse)).result == "no budget"


async def test_a_traceback_shows_the_scripts_own_lines_and_none_of_ours(local: Any) -> None:
    ran = await local.run("def f():\n    return 1 / 0  # here\n\nf()")
    assert (ran.error_type, ran.error) == ("script_error", "ZeroDivisionError: division by zero")
    assert "return 1 / 0  # here" in ran.stderr
    assert ran.stderr.count("File ") == ran.stderr.count('File "/workspace/main.py"') == 2


async def test_a_syntax_error_names_its_line(local: Any) -> None:
    ran = await local.run("x = 1\ny = = 2")
    assert ran.error_type == "script_error"
    assert "SyntaxError" in ran.error
    assert "y = = 2" in ran.stderr


@pytest.mark.parametrize("code", ["sys.exit()", "sys.exit(0)", "sys.exit(None)", "exit()", "quit(0)", "os._exit(0)"])
async def test_exit_without_an_error_completes(local: Any, code: str) -> None:
    ran = await local.run(f"import os, sys\nset_result(7)\n{code}\nset_result(8)")
    assert ran.result == 7


@pytest.mark.parametrize(
    ("code", "error"),
    [("sys.exit(3)", "3"), ("sys.exit('gone')", "gone"), ("raise SystemExit(True)", "1"), ("os._exit(9)", "9")],
)
async def test_exit_with_an_error_is_the_scripts_error(local: Any, code: str, error: str) -> None:
    ran = await local.run(f"import os, sys\n{code}")
    assert ran.error_type == "script_error"
    assert error in ran.error


async def test_output_of_subprocesses_and_c_code_is_captured(local: Any) -> None:
    code = """
import ctypes, os, subprocess, sys
os.write(1, b"a\\n")
subprocess.run(["sh", "-c", "echo b; echo c >&2; echo d > /dev/stdout"])
libc = ctypes.CDLL(None)
libc.puts(b"e")
libc.fflush(None)
subprocess.run([sys.executable, "-c", "print('f')"])
"""
    ran = await local.run(code)
    assert (ran.stdout.split(), ran.stderr) == (["a", "b", "d", "e", "f"], "c\n")


async def test_output_is_there_while_the_script_runs(local: Any) -> None:
    task, run = local.start("import time\nprint('early')\ntime.sleep(60)")
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout)
    assert run.stdout == "early\n"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_bytes_without_utf8_form_are_shown_replaced(local: Any) -> None:
    assert (await local.run("print('ü \\udc80')")).stdout == "ü \ufffd\n"


async def test_stdin_is_empty(local: Any) -> None:
    assert await local.result("import sys; set_result(sys.stdin.read())") == ""


async def test_source_text_may_begin_with_a_byte_order_mark(local: Any) -> None:
    assert (await local.run("\ufeffprint(1)")).stdout == "1\n"


async def test_a_large_job_is_handed_over(local: Any) -> None:
    code = f"x = {'a' * 3_000_000!r}\nset_result(len(x) + len(memory.get('m', 'v')))"
    assert await local.result(code, memory={"m.v": "b" * 2_000_000}) == 5_000_000


async def test_main_is_the_scripts_own_module(local: Any) -> None:
    code = """
import __main__, sys
x = 1
set_result([__name__, __main__.x, [name for name in sys.modules if name.startswith("airlock")]])
"""
    assert await local.result(code) == ["__main__", 1, ["airlock"]]


async def test_executions_run_at_once_and_do_not_mix(make_local: Any) -> None:
    local = await make_local(replicas=3)
    tasks = [local.result(f"import time\nprint({n})\ntime.sleep(0.2)\nset_result({n})") for n in range(6)]
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4, 5]


@pytest.mark.timed
async def test_print_through_a_warm_standby_takes_milliseconds(local: Any) -> None:
    took, others_took = [], []
    for _ in range(20):
        took.append((await local.run("print(1)")).seconds)
        began = time.monotonic()
        await (await asyncio.create_subprocess_exec("true")).wait()
        others_took.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    # ten times what it takes on a quiet machine; on another one, what a process takes that does nothing
    assert statistics.median(took) < max(0.02, 5 * statistics.median(others_took))


async def test_multiprocessing_works(local: Any) -> None:
    code = "from multiprocessing import Pool\nwith Pool(2) as pool: set_result(pool.map(abs, range(-3, 0)))"
    assert await local.result(code) == [3, 2, 1]


async def test_scaling_changes_the_number_of_idle_standbys(local: Any) -> None:
    await local.backend.scale(3)
    assert local.backend.pool().idle == 3
    await local.backend.scale(1)
    assert local.backend.pool().idle == 1
    assert await local.result("set_result(1)") == 1


async def test_many_standbys_come_up_at_once(make_local: Any) -> None:
    local = await make_local(replicas=60)
    assert local.backend.pool().idle == 60
    assert await local.result("set_result(1)") == 1


async def test_down_lets_running_executions_finish_and_up_works_again(local: Any) -> None:
    task, run = local.start("import time\nprint(1)\ntime.sleep(0.5)\nset_result('finished')")
    async with asyncio.timeout(5):
        await run.until(lambda run: run.stdout)
    await local.backend.scale(0)
    assert local.backend.pool().replicas == 0
    assert (await task).result == "finished"
    await local.backend.scale(1)
    assert await local.result("set_result(2)") == 2


async def test_isolation_says_in_one_line_what_protects(local: Any) -> None:
    assert "namespaces, seccomp, Landlock" in local.backend.isolation
    assert "\n" not in local.backend.isolation
