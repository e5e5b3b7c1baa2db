"""The frame reader: any bytes at all, in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock import ProtocolViolation
from airlock.sandbox import FrameReader
from airlock.worker import codec

FRAMES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=8)


@given(FRAMES, st.data())
def test_frames_are_cut_the_same_however_the_bytes_arrive(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(codec.frame(kind, body) for kind, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader = FrameReader(1000)
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == frames
    assert not reader.is_amid_frame


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_no_bytes_make_the_reader_raise_anything_but_a_violation(pieces: list[bytes]) -> None:
    reader = FrameReader(100)
    try:
        for piece in pieces:
            for _, body in reader.feed(piece):
                assert len(body) <= 100
    except ProtocolViolation:
        return


def test_a_frame_that_announces_too_much_is_a_violation_before_it_is_there() -> None:
    with pytest.raises(ProtocolViolation, match="a frame of 1001 bytes"):
        list(FrameReader(1000).feed(codec.HEADER.pack(1001, 1)))


def test_too_many_bytes_in_all_are_a_violation() -> None:
    reader = FrameReader(1000, max_total=2000)
    for _ in range(19):
        list(reader.feed(codec.frame(1, b"x" * 100)))
    with pytest.raises(ProtocolViolation, match="too many bytes"):
        list(reader.feed(codec.frame(1, b"x" * 100)))


def test_what_is_allowed_besides_does_not_count() -> None:
    reader = FrameReader(1000, max_total=0)
    for _ in range(3):
        reader.allow(105)
        assert len(list(reader.feed(codec.frame(1, b"x" * 100)))) == 1
    with pytest.raises(ProtocolViolation, match="too many bytes"):
        list(reader.feed(b"x"))


def test_a_frame_in_the_making_is_known() -> None:
    reader = FrameReader(1000)
    list(reader.feed(codec.frame(1, b"abc")[:-1]))
    assert reader.is_amid_frame
