"""No secret leaves with the output, in whatever pieces it is written, and wherever a limit cuts."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.secrets.leaks import FORMS, SECRET, leaks, letters, secrets

from airlock.running.output import Output
from airlock.secrets.forms import forms_of
from airlock.secrets.redaction import MARK, Redactor


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def test_only_an_end_that_may_begin_a_secret_is_held_back() -> None:
    output = Output(1000, Redactor(["hunter2-hunter2"]).stream())
    output.write(b"working...\nYour name? ")
    assert output.text == "working...\nYour name? "
    output.write(b"hunter2-h")
    assert output.text == "working...\nYour name? "
    output.write(b"hunter2-hunter2\nhunter2")
    assert output.text == f"working...\nYour name? hunter2-h{MARK}\n"
    output.finish()
    assert output.text == f"working...\nYour name? hunter2-h{MARK}\nhunter2"


def test_secret_of_which_each_byte_comes_alone_is_never_seen() -> None:
    output = Output(1000, Redactor([SECRET]).stream())
    seen = []
    for byte in f"<{SECRET}>".encode():
        output.write(bytes([byte]))
        seen.append(output.text)
    assert seen[-1] == f"<{MARK}>"
    assert set(seen) == {"<", f"<{MARK}", f"<{MARK}>"}


@pytest.mark.parametrize("before", range(50, 110))
def test_secret_at_a_cut_is_redacted_before_the_cut(before: int) -> None:
    output = Output(80, Redactor(["hunter2-hunter2"]).stream())
    output.write(b"." * before + b"hunter2-hunter2" + b"." * 30)
    output.finish()
    assert "hunter" not in output.text
    assert "2-h" not in output.text
    assert output.truncated == (before + len(MARK) + 30 > 80)


@given(st.data(), secrets, st.integers(0, 400), st.lists(st.integers(0, 10_000), max_size=20))
def test_nothing_leaks_whatever_is_said_in_whatever_pieces(
    data: st.DataObject, secrets: list[str], limit: int, cuts: list[int]
) -> None:
    said = st.one_of(
        st.text(letters, max_size=10),
        st.text("ab", max_size=10),
        st.builds(lambda form, secret: FORMS[form](secret), st.sampled_from(sorted(FORMS)), st.sampled_from(secrets)),
        st.builds(lambda secret, cut: secret[: cut % len(secret)], st.sampled_from(secrets), st.integers(0)),
    )
    text = "".join(data.draw(st.lists(said, max_size=12)))
    redactor = Redactor(secrets)
    output = Output(limit, redactor.stream())
    before = ""
    for piece in pieces(text.encode(), cuts):
        output.write(piece)
        if data.draw(st.booleans()):
            assert output.text.startswith(before)
            before = output.text
    output.finish()
    assert output.text.startswith(before)
    for secret in secrets:
        assert leaks(secret, re.sub(r"\n\[\d+ bytes dropped here[^\n]*\n", "\0", output.text)) == []
        assert leaks(secret, redactor.text(text)) == []


@given(secrets, st.text(letters, max_size=200), st.lists(st.integers(0, 10_000), max_size=20), st.data())
def test_pieces_make_no_difference(secrets: list[str], text: str, cuts: list[int], data: st.DataObject) -> None:
    text += "".join(data.draw(st.lists(st.sampled_from([*secrets, *(s[:-1] for s in secrets)]), max_size=6)))
    covered = set()
    spans = set()
    forms = set().union(*map(forms_of, secrets))
    raw = text.encode()
    for form in forms:  # by the plainest means
        spans |= {(at, at + len(form)) for at in range(len(raw)) if raw.startswith(form, at)}
    for start, end in spans:
        covered |= set(range(start, end))
    stream = Redactor(secrets).stream()
    assert stream is not None
    shown = b""
    for piece in pieces(raw, cuts):
        stream.write(piece)
        shown += stream.read()
    shown += stream.finish()
    assert shown.decode() == Redactor(secrets).text(text)
    assert bytes(byte for at, byte in enumerate(raw) if at not in covered) == shown.replace(MARK.encode(), b"")


# --- what it costs -------------------------------------------------------------------------------------------------


@pytest.mark.timed
def test_redaction_keeps_up_with_output() -> None:
    redactor = Redactor(f"secret-number-{number}-of-twenty" for number in range(20))
    line = b"2026-01-01 12:00:00 INFO a line of some log with secret-number-, and with numbers: 12345"[:80]
    output = Output(1 << 20, redactor.stream())
    began = time.process_time()
    for _ in range((1 << 20) // len(line)):
        output.write(line)
    output.finish()
    assert time.process_time() - began < 0.3  # ten times what is promised


@pytest.mark.parametrize("said", [b"a" * 65536, b"secret-a" * 8192, b"secret-aaaaaaab" * 4369])
def test_hostile_output_does_not_take_long(said: bytes) -> None:
    output = Output(
        1 << 20, Redactor(["a" * 5000 + "b", "secret-a" * 500 + "!", "secret-aaaaaaab", "aaaaaaab"]).stream()
    )
    began = time.process_time()
    for _ in range(16):
        output.write(said)
        assert output.text is not None
    output.finish()
    assert time.process_time() - began < 5
