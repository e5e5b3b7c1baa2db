"""What a script wrote, as text, as far as the limit allows."""

import pytest

from airlock.output import Output


def test_character_in_two_pieces_stays_one() -> None:
    output = Output(100)
    for byte in "a😀b".encode():
        output.write(bytes([byte]))
    output.finish()
    assert (output.text, output.truncated) == ("a😀b", False)


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    output = Output(100)
    output.write(b"a\xff\xc3(b")
    assert output.text == "a\ufffd\ufffd(b"


def test_half_a_character_at_the_end_is_replaced() -> None:
    output = Output(100)
    output.write("é".encode()[:1])
    assert output.text == ""
    output.finish()
    assert output.text == "\ufffd"


@pytest.mark.parametrize(("limit", "text", "truncated"), [(3, "abc", True), (5, "abcde", True), (6, "abcdef", False)])
def test_what_is_over_the_limit_is_dropped(limit: int, text: str, truncated: bool) -> None:
    output = Output(limit)
    output.write(b"abcd")
    output.write(b"ef")
    assert (output.text, output.truncated) == (text, truncated)


def test_limit_counts_bytes() -> None:
    output = Output(4)
    output.write("ééé".encode())
    assert (output.text, output.truncated) == ("éé", True)


def test_limit_of_0_keeps_nothing() -> None:
    output = Output(0)
    output.write(b"")
    assert not output.truncated
    output.write(b"x")
    assert (output.text, output.truncated) == ("", True)
