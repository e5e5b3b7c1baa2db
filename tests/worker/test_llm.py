"""How a script asks, here over a plain socket pair."""

import os
import signal
import threading

import pytest
from tests.worker.conftest import Ends, run

from airlock.worker import codec, llm


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("'x', model='m' * 201", "ValueError: llm.complete: a model has at most 200 characters"),
        ("'x' * 1001", "ValueError: llm.complete: the prompt has 1001 bytes; limits.prompt is 1000"),
        ("'é' * 501", "ValueError: llm.complete: the prompt has 1002 bytes; limits.prompt is 1000"),
        ("b'x'", "TypeError: llm.complete: prompt is a string, not a builtins.bytes"),
        ("'x', model=None", "TypeError: llm.complete: model is a string, not a builtins.NoneType"),
        ("'\\ud800'", "ValueError: llm.complete: text with lone surrogates is not JSON"),
    ],
)
def test_what_airlock_would_not_take_is_an_error_of_the_line(ends: Ends, arguments: str, error: str) -> None:
    assert run(f"llm.complete({arguments})", ends[0]) == error


def test_after_a_prompt_that_is_too_long_a_shorter_one_is_asked(ends: Ends) -> None:
    ends[1].send(codec.ANSWER, {"id": 1, "answer": "yes"})
    code = """
    try:
        llm.complete("x" * 1001)
    except ValueError:
        set_result(llm.complete("x" * 1000))
    """
    assert run(code, ends[0]) is None
    assert ends[1].receive() == (codec.LLM, {"id": 1, "prompt": "x" * 1000, "model": "default"})
    assert ends[1].receive() == (codec.RESULT, "yes")


def test_a_child_process_cannot_ask_even_while_a_thread_of_the_script_does(ends: Ends) -> None:
    model = llm.Model(ends[0], 1000)
    with model._lock:
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            try:
                model.complete("?")
            except RuntimeError as error:
                os._exit("use threads" in str(error))
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_llm_cannot_be_sent_to_a_process_of_a_pool(ends: Ends) -> None:
    error = run("import pickle; pickle.dumps(llm.complete)", ends[0])
    assert error is not None
    assert error.startswith("RuntimeError: llm works only in the script's own process")


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
    model = llm.Model(ends[0], 1000)
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
    model = llm.Model(ends[0], 1000)
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
