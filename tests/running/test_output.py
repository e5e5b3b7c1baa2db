"""A script's output as text, up to its limit."""

import pytest

from airlock.running.output import Output


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


def test_of_too_much_the_middle_is_dropped_and_the_place_is_marked() -> None:
    output = Output(80)
    for _ in range(10):
        output.write(b"0123456789")
    assert output.text == "0123456789" * 7
    output.finish()
    mark = "\n[20 bytes dropped here: limits.output is 80B]\n"
    assert (output.text, output.truncated) == ("0123456789" * 7 + mark + "0123456789", True)


@pytest.mark.parametrize("size", [69, 70, 71, 79, 80])
def test_what_just_fits_is_kept_whole(size: int) -> None:
    output = Output(80)
    for _ in range(size):
        output.write(b"x")
    output.finish()
    assert (output.text, output.truncated) == ("x" * size, False)


def test_one_write_may_be_far_too_large() -> None:
    output = Output(1 << 20)
    output.write(b"a" * (30 << 20) + b"the end")
    output.finish()
    assert output.text.endswith("the end")
    assert len(output.text) < (1 << 20) + 100


def test_limit_counts_bytes() -> None:
    output = Output(4)
    output.write("ééé".encode())
    output.finish()
    assert (output.text.partition("\n")[0], output.truncated) == ("éé", True)


def test_a_character_that_lost_its_beginning_is_dropped() -> None:
    output = Output(80)
    output.write("😀".encode() * 30)
    output.finish()
    head, _, tail = output.text.split("\n")
    assert head.rstrip("\ufffd") == "😀" * 17
    assert tail == "😀" * 2


def test_limit_of_0_keeps_nothing() -> None:
    output = Output(0)
    output.write(b"")
    assert not output.truncated
    output.write(b"x")
    output.finish()
    assert (output.text, output.truncated) == ("\n[1 bytes dropped here: limits.output is 0B]\n", True)


def test_reading_in_pieces_gives_the_whole_text_while_it_grows() -> None:
    output, read = Output(200_000), ""
    for number in range(9_000):
        text = f"{number}é😀\r\n\x00"
        output.write((text * 5_000 if number == 100 else text).encode())
        piece = output.read(len(read), 20)
        assert len(piece) <= 20
        read += piece
    output.finish()
    while piece := output.read(len(read), 1000):
        read += piece
    assert read == output.text
    assert output.read(10**15, 1) == ""
