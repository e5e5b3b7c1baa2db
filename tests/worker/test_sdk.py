"""What a script can use, here over a plain socket pair: its result, its settings and its memory."""

import json
import threading
from pathlib import Path

import pytest
from tests.worker.conftest import Ends, run

from airlock import strict_json
from airlock.http.requests import MAX_VALUES
from airlock.worker import codec


def test_result_is_sent(ends: Ends) -> None:
    assert run("set_result({'a': [1, 'x']})", ends[0]) is None
    assert ends[1].receive() == (codec.RESULT, {"a": [1, "x"]})


def test_settings_and_memory_are_readable_and_set_is_seen(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
    print(settings.get("k"), settings.get("none", "d"), settings.keys())
    print(memory.get("c", "x"), memory.get("c", "none", 7))
    value = [1]
    memory.set("c", "x", value)
    value.append(2)
    print(memory.get("c", "x"))
    """
    assert run(code, ends[0], settings={"k": "v"}, memory={"c.x": 0}) is None
    assert capsys.readouterr().out == "v d ['k']\n0 7\n[1]\n"
    assert ends[1].receive() == (codec.MEMORY, ["c.x", [1]])


def test_memory_category_with_a_dot_is_a_value_error(ends: Ends) -> None:
    error = run("memory.set('a.b', 'c', 1)", ends[0])
    assert error is not None
    assert error.startswith("ValueError: memory: a category is not empty and contains no dot")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("memory.set('a', '', 1)", "ValueError: memory: a key is not empty"),
        (
            "memory.set('a', 'b', eval('[' * 99 + ']' * 99))",
            "ValueError: memory.set: value is nested deeper than 98 levels",
        ),
        ("memory.set('a', 'b', [0] * 100_000)", "ValueError: memory.set: value has more than 100000 values"),
    ],
)
def test_what_airlock_would_not_take_is_an_error_of_the_line(ends: Ends, code: str, error: str) -> None:
    assert run(code, ends[0]) == error


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("object()", "TypeError: set_result: result is of type builtins.object, which has no form in JSON"),
        ("['\\ud800']", "ValueError: set_result: result[0] has lone surrogates, which JSON cannot have"),
        ("{1: 2, '1': 3}", 'ValueError: set_result: result has two keys that are the same text in JSON: ["1"]'),
        ("[{'a': ({None: 2, 'null': 3},)}]", """ValueError: set_result: result[0]["a"][0] has two keys that are the"""),
        ("eval('[' * 101 + ']' * 101)", "ValueError: set_result: result is nested deeper than 100 levels"),
        ("(lambda x: [x := [x] for _ in range(10**5)][-1])([])", "ValueError: set_result: result is nested deeper"),
        ("(lambda x: x.append(x) or x)([])", "ValueError: set_result: result[0] contains itself"),
        ("10 ** 5000", "ValueError: set_result: result is an integer of more than 4300 digits"),
        ("'x' * (1 << 20)", "ValueError: set_result: result has 1048578 bytes as JSON; limits.result is 1048576"),
    ],
)
def test_result_that_is_not_json_is_the_scripts_error(ends: Ends, value: str, error: str) -> None:
    said = run(f"set_result({value})", ends[0])
    assert said is not None
    assert said.startswith(error)


@pytest.mark.parametrize("value", ["{1: 2, 2: 3}", "eval('[' * 100 + ']' * 100)", "{'a': (1, [None])}", "{1.5: True}"])
def test_result_that_is_nearly_not_json_is_sent(ends: Ends, value: str) -> None:
    assert run(f"set_result({value})", ends[0]) is None
    assert ends[1].receive()[0] == codec.RESULT


@pytest.mark.parametrize("value", ["eval('[' * 98 + ']' * 98)", "[0] * 99_999"])
def test_memory_that_is_sent_can_come_back_with_the_next_request(ends: Ends, value: str) -> None:
    reading = threading.Thread(target=lambda: frames.append(ends[1].receive()))
    frames: list[tuple[int, list[object]]] = []
    reading.start()
    assert run(f"memory.set('a', 'b', {value})", ends[0]) is None
    reading.join(30)
    key, found = frames[0][1]
    request = {"code": "1", "memory": {key: found}}
    body = json.dumps(request).encode()
    strict_json.check_count(body, MAX_VALUES)
    assert strict_json.loads(body) == request


def test_after_a_result_that_was_refused_the_one_before_counts(ends: Ends) -> None:
    run("set_result('first')\ntry: set_result({1: 2, '1': 3})\nexcept ValueError: pass", ends[0])
    ends[0].send(codec.END, {"error": None})
    assert ends[1].receive() == (codec.RESULT, "first")
    assert ends[1].receive()[0] == codec.END


def test_tracebacks_show_no_line_of_ours(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    run("def f():\n    set_result({object()})\ntry:\n    f()\nexcept TypeError:\n    memory.set('', '', 1)", ends[0])
    files = {line.split('"')[1] for line in capsys.readouterr().err.splitlines() if line.startswith("  File ")}
    assert {Path(file).name for file in files} == {"main.py"}


def test_wrong_arguments_are_named_as_the_script_knows_them(ends: Ends) -> None:
    assert run("set_result()", ends[0]) == "TypeError: set_result() missing 1 required positional argument: 'value'"
