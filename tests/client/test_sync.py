"""What only the client for threads has: callbacks in the right thread, forks, and an end."""

from __future__ import annotations

import contextvars
import gc
import multiprocessing
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from airlock.client import Airlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airlock.client import OpenLLMRequest

PATIENCE = 60  # seconds; a hang guard


@pytest.fixture
def airlock(url: str) -> Iterator[Airlock]:
    with Airlock(url, retry_for=20) as client:
        yield client


def portals() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "airlock-client"]


def until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.01)


# --- callbacks -------------------------------------------------------------------------------------------------------


def test_on_output_is_called_in_the_thread_that_runs_and_llm_in_others(airlock: Airlock) -> None:
    threads: dict[str, threading.Thread] = {}

    def llm(request: OpenLLMRequest) -> str:
        threads["llm"] = threading.current_thread()
        return request.prompt

    def on_output(_: str, text: str) -> None:
        threads[text] = threading.current_thread()

    airlock.run("say out\nask q", project="p", llm=llm, on_output=on_output)
    assert threads.pop("llm") is not threading.current_thread()
    assert threads == {"out\n": threading.current_thread()}


def test_llm_sees_the_context_of_whoever_runs(airlock: Airlock) -> None:
    trace = contextvars.ContextVar[str]("trace")
    trace.set("mine")
    assert airlock.run("ask a|b", project="p", llm=lambda _: trace.get()).result == ["mine", "mine"]


def test_callbacks_may_use_the_client(airlock: Airlock) -> None:
    names: list[str] = []

    def llm(request: OpenLLMRequest) -> str:
        return airlock.projects()[0].name + request.prompt

    def on_output(_: str, __: str) -> None:
        names.append(airlock.projects()[0].name)

    assert airlock.run("say out\nask q", project="p", llm=llm, on_output=on_output).result == "pq"
    assert names == ["p"]


def test_an_iterator_of_answers_that_is_exhausted_is_an_error_for_the_script(airlock: Airlock) -> None:
    answers = iter(["one"])
    result = airlock.run("ask a\nask b", project="p", llm=lambda _: next(answers))
    assert str(result.error).startswith("LLMError: the agent failed to answer (")


@pytest.mark.parametrize(("error", "raised"), [(KeyboardInterrupt, KeyboardInterrupt), (StopIteration, RuntimeError)])
def test_whatever_on_output_raises_ends_the_run(
    airlock: Airlock, error: type[BaseException], raised: type[BaseException]
) -> None:
    def on_output(_: str, __: str) -> None:
        raise error

    with pytest.raises(raised):
        airlock.run("say here\nsleep 600", project="p", on_output=on_output)
    assert airlock.projects()[0].running == 0


# --- several threads, several processes ------------------------------------------------------------------------------


def test_threads_share_a_client(airlock: Airlock) -> None:
    found: list[object] = []

    def run(number: int) -> None:
        found.append(airlock.run(f"result {number}", project="p").result)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(str, found)) == [str(number) for number in range(8)]
    assert len(portals()) == 1


def test_a_forked_process_has_connections_of_its_own(airlock: Airlock) -> None:
    airlock.projects()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # this test forks with threads on purpose
        child = multiprocessing.get_context("fork").Process(
            target=airlock.run, args=("say hi",), kwargs={"project": "p"}
        )
        child.start()
    assert airlock.projects()
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert airlock.projects()


# --- the end ---------------------------------------------------------------------------------------------------------


def test_close_ends_the_thread_and_calls_in_other_threads(url: str) -> None:
    client = Airlock(url)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            client.run("sleep 600", project="p")
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with Airlock(url) as other:
        until(lambda: other.projects()[0].running == 1)
        client.close()
        thread.join(PATIENCE)
        assert [str(error) for error in raised] == ["the client was closed during the call"]
        assert other.projects()[0].running == 0
    assert not portals()


def test_after_close_calls_raise_and_close_may_be_repeated(url: str) -> None:
    client = Airlock(url)
    client.projects()
    for _ in range(2):
        client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.projects()


def test_a_client_that_was_never_used_can_be_closed(url: str) -> None:
    Airlock(url).close()
    assert not portals()


def test_the_thread_of_a_client_that_nobody_has_any_more_ends(url: str) -> None:
    client = Airlock(url)
    client.projects()
    assert portals()
    del client
    gc.collect()
    until(lambda: not portals())


def test_a_stream_that_is_left_early_leaves_the_client_usable(airlock: Airlock) -> None:
    execution_id = airlock.submit("say one\nsleep 600", project="p")
    for event in airlock.events(execution_id):
        if event.type == "stdout":
            break
    assert airlock.cancel(execution_id).error_type == "cancelled"


def test_a_client_that_is_never_closed_does_not_keep_the_program_from_ending(url: str) -> None:
    program = "import sys, airlock.client as c; client = c.Airlock(sys.argv[1]); print(client.projects()[0].name)"
    command = [sys.executable, "-W", "default", "-c", program, url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert (ended.stdout, ended.stderr) == ("p\n", "")
