"""What a script can use, here over a plain socket pair: its result, its settings and memory, and the LLM."""

import json
import threading
from pathlib import Path

import pytest
from tests.worker.conftest import Ends, run

from airlock import strict_json
from airlock.http.requests import MAX_VALUES
from airlock.worker import codec, sdk


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
        ("memory.set('a', 'b', eval('[' * 99 + ']' * 99))", "ValueError: memory.set: nested deeper than 98 levels"),
        ("memory.set('a', 'b', [0] * 100_000)", "ValueError: memory.set: more than 100000 values in one"),
        ("llm.complete('x', model='m' * 201)", "ValueError: llm.complete: a model has at most 200 characters"),
    ],
)
def test_what_airlock_would_not_take_is_an_error_of_the_line(ends: Ends, code: str, error: str) -> None:
    assert run(code, ends[0]) == error


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("{1, 2}", "TypeError: set_result: Object of type set is not JSON serializable; only str, numbers, bool, None"),
        ("float('nan')", "ValueError: set_result: NaN and infinities are not JSON; use None, or text"),
        ("'\\ud800'", "ValueError: set_result: text with lone surrogates is not JSON"),
        ("{1: 2, '1': 3}", "ValueError: set_result: two keys of a dict are the same text in JSON, like 1 and '1'"),
        ("[{'a': ({None: 2, 'null': 3},)}]", "ValueError: set_result: two keys of a dict are the same text in JSON"),
        ("eval('[' * 101 + ']' * 101)", "ValueError: set_result: nested deeper than 100 levels"),
        ("(lambda x: [x := [x] for _ in range(10**5)][-1])([])", "ValueError: set_result: nested deeper than 100"),
        ("(lambda x: x.append(x) or x)([])", "ValueError: set_result: Circular reference detected"),
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
    run("def f():\n    set_result({1})\ntry:\n    f()\nexcept TypeError:\n    memory.set('', '', 1)", ends[0])
    files = {line.split('"')[1] for line in capsys.readouterr().err.splitlines() if line.startswith("  File ")}
    assert {Path(file).name for file in files} == {"main.py"}


def test_wrong_arguments_are_named_as_the_script_knows_them(ends: Ends) -> None:
    assert run("set_result()", ends[0]) == "TypeError: set_result() missing 1 required positional argument: 'value'"


def test_llm_answer_comes_back(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    ends[1].send(codec.ANSWER, {"id": 1, "answer": "42"})
    assert run("print(llm.complete('why?', model='m'))", ends[0]) is None
    assert capsys.readouterr().out == "42\n"
    assert ends[1].receive() == (codec.LLM, {"id": 1, "prompt": "why?", "model": "m"})


def test_llm_error_is_raised_in_the_script(ends: Ends) -> None:
    ends[1].send(codec.ANSWER, {"id": 1, "error": "no budget"})
    code = """
    try:
        llm.complete("x")
    except LLMError as error:
        set_result(str(error))
    """
    assert run(code, ends[0]) is None
    ends[1].receive()
    assert ends[1].receive() == (codec.RESULT, "no budget")


def test_threads_that_ask_at_once_get_their_own_answers(ends: Ends) -> None:
    asked = 40

    def answer_in_batches_backwards() -> None:
        while True:
            batch = []
            for _ in range(4):
                _, question = ends[1].receive()
                batch.append(question)
            for question in reversed(batch):
                ends[1].send(codec.ANSWER, {"id": question["id"], "answer": question["prompt"].upper()})
            if batch[-1]["id"] >= asked:
                return

    answering = threading.Thread(target=answer_in_batches_backwards)
    answering.start()
    model = sdk.Model(ends[0])
    got: dict[str, str] = {}

    def ask(name: str) -> None:
        for turn in range(asked // 4):
            got[f"{name}{turn}"] = model.complete(f"{name}{turn}")

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in [*threads, answering]:
        thread.join(30)
    assert got == {f"{name}{turn}": f"{name}{turn}".upper() for name in "abcd" for turn in range(asked // 4)}


def test_leader_that_is_interrupted_hands_over(ends: Ends) -> None:
    """If the thread that reads for all gets an exception, another one must continue reading."""
    model = sdk.Model(ends[0])
    answers = []
    interrupted = threading.Event()

    class Interruption(Exception):
        pass

    receive = ends[0].receive

    def receive_or_fail() -> tuple[int, object]:
        if not interrupted.is_set():
            interrupted.wait(30)
            raise Interruption
        return receive()

    ends[0].receive = receive_or_fail  # type: ignore[method-assign]

    def lead() -> None:
        with pytest.raises(Interruption):
            model.complete("leader")

    leader = threading.Thread(target=lead)
    leader.start()
    ends[1].receive()
    follower = threading.Thread(target=lambda: answers.append(model.complete("follower")))
    follower.start()
    ends[1].receive()
    interrupted.set()
    ends[1].send(codec.ANSWER, {"id": 1, "answer": "too late"})
    ends[1].send(codec.ANSWER, {"id": 2, "answer": "for the follower"})
    leader.join(30)
    follower.join(30)
    assert answers == ["for the follower"]
