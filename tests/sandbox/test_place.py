"""Where a script was when it was ended: from text that it may have written itself."""

import time

import pytest

from airlock.sandbox.place import MAX_KEPT, MAX_NAME, LastWords

HEAD = "Current thread 0x00007fac05e17b80 (most recent call first):\n"
OTHER = "Thread 0x00007fac050b86c0 [worker] (most recent call first):\n"


def line(file: str, number: int | str = 1, function: str = "f") -> str:
    return f'  File "{file}", line {number} in {function}\n'


SCRIPT = line("/workspace/main.py", 7, "work") + line("/workspace/main.py", 9, "<module>")
AROUND = line("<airlock.worker.script>") + line("<airlock_local.sandbox.zygote>") + line("<string>")


def said(*pieces: str) -> tuple[str | None, str]:
    written: list[bytes] = []
    words = LastWords(written.append)
    for piece in pieces:
        words.feed(piece.encode("utf-8", "surrogateescape"))
    return words.finish(), b"".join(written).decode("utf-8", "surrogateescape")


def test_innermost_place_of_the_script_is_found_and_our_frames_are_left_out() -> None:
    stack = line("/usr/lib/python3.11/threading.py") + SCRIPT
    sdk = line("<airlock.worker.llm>", 3, "complete") + line("/opt/airlock/lib/airlock/worker/codec.py")
    assert said(HEAD + sdk + stack + AROUND) == ("/workspace/main.py:7 in work", HEAD + stack)


def test_place_in_the_main_program_has_no_name_of_a_function() -> None:
    assert said(HEAD + line("/workspace/main.py", 3, "<module>"))[0] == "/workspace/main.py:3"


def test_thread_that_took_the_signal_counts_before_others() -> None:
    other = OTHER + line("/workspace/other.py", 2)
    assert said(f"{other}\n{HEAD}{SCRIPT}{AROUND}")[0] == "/workspace/main.py:7 in work"
    assert said(f"{other}\n{HEAD}{AROUND}") == ("/workspace/other.py:2 in f", f"{other}\n")


def test_text_around_the_stack_stays_as_it_is() -> None:
    text = f"50 %{HEAD}{SCRIPT}Traceback\n\udcff"
    assert said(*text) == ("/workspace/main.py:7 in work", text)


@pytest.mark.parametrize(
    "text",
    ["", "words", HEAD, HEAD[:-1], HEAD + line("/usr/lib/x.py"), SCRIPT, HEAD + SCRIPT.replace("File", "Fine")],
    ids=["nothing", "words", "no frames", "cut", "not the script's", "no head", "another format"],
)
def test_what_tells_no_place_stays_as_it_is(text: str) -> None:
    assert said(text) == (None, text)


@pytest.mark.parametrize("begun", ["", '  File "/opt/airlock/lib/airlock/worker/script.py", line 71'])
def test_line_that_death_cut_off_is_left_out(begun: str) -> None:
    assert said(HEAD + SCRIPT + begun) == ("/workspace/main.py:7 in work", HEAD + SCRIPT)


def test_place_is_short() -> None:
    place, _ = said(HEAD + line("/workspace/" + "x" * 500, 1, "y" * 500))
    assert place is not None
    assert len(place) == MAX_NAME


def test_flood_is_passed_on() -> None:
    flood = HEAD + SCRIPT * (MAX_KEPT // len(SCRIPT)) + "x" * 200
    assert said(flood, flood) == (None, flood * 2)


@pytest.mark.parametrize("piece", [HEAD, HEAD[:-2], line("/" * 590), line("/workspace/" + "/" * 500), "Thread 0x"])
def test_hostile_text_takes_no_time(piece: str) -> None:
    text = (HEAD + piece * (MAX_KEPT // len(piece)))[:MAX_KEPT]
    began = time.process_time()
    said(text)
    assert time.process_time() - began < 1  # it takes some ten milliseconds
