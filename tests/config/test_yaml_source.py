"""airlock.yaml as bytes: positions, syntax, and malicious files."""

import os
import time
from pathlib import Path

import pytest
from tests.config.yaml_text import parse, problems

from airlock.config import yaml_source
from airlock.errors import ConfigError


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        yaml_source.read(path, {})
    return caught.value.problems


# --- data and positions --------------------------------------------------------------------------------------------


def test_plain_data_comes_out() -> None:
    assert parse("a: {b: [1, -2.5, true, ~, text]}\nc: '5'\n") == {"a": {"b": [1, -2.5, True, None, "text"]}, "c": "5"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n"])
def test_empty_file_is_an_empty_mapping(text: str) -> None:
    assert parse(text) == {}


def test_position_is_that_of_the_key_or_the_list_item() -> None:
    source = yaml_source.parse("projects:\n  python:\n    packages: [a, b]\n", "airlock.yaml", {})
    assert source.position(("projects", "python", "packages")) == (3, 5)
    assert source.position(("projects", "python", "packages", 1)) == (3, 19)


def test_position_of_what_is_not_there_is_that_of_what_stands_around_it() -> None:
    source = yaml_source.parse("projects:\n  python:\n    packages: []\n", "airlock.yaml", {})
    assert source.position(("projects", "python", "backend")) == (2, 3)
    assert source.position(("server", "port")) == (1, 1)


def test_position_counts_characters_and_not_bytes() -> None:
    source = yaml_source.parse("{é: 1, b: 2}", "airlock.yaml", {})
    assert source.position(("b",)) == (1, 8)


def test_problem_names_file_line_column_and_key() -> None:
    source = yaml_source.parse("a:\n  b: [1]\n", "airlock.yaml", {})
    assert source.problem(("a", "b", 0), "is wrong") == "airlock.yaml:2:7: a.b[0]: is wrong"


def test_key_with_a_line_break_cannot_forge_a_line_of_the_report() -> None:
    assert problems('{"x\\nairlock.yaml:1:1: all is well": "${NO}"}')[0].count("\n") == 0


def test_anchor_and_alias_work() -> None:
    assert parse("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


# --- what is refused, together -------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once() -> None:
    told = problems("a: 1\na: 2\n5: x\nb: !!python/name:os.system x\nc: ${NO}\n")
    assert [line.split(": ")[0] for line in told] == [
        "airlock.yaml:2:1",
        "airlock.yaml:3:1",
        "airlock.yaml:4:4",
        "airlock.yaml:5:4",
    ]


def test_second_document_is_refused() -> None:
    assert problems("a: 1\n---\nb: 2\n") == ["airlock.yaml:2:1: a second document; only one is allowed"]


@pytest.mark.parametrize("text", ["- a\n", "word\n", "5\n"])
def test_top_level_must_be_a_mapping(text: str) -> None:
    assert problems(text) == ["airlock.yaml:1:1: must be a mapping (key: value) at the top"]


def test_syntax_error_has_its_position() -> None:
    (told,) = problems("a:\n  b: [1\nc: 2\n")
    assert told.startswith("airlock.yaml:3:")
    assert "not YAML: " in told


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("projects:\n\tp: {}\n", "2:1"),
        ("a:\n  b: 1\n\tc: 2\n", "3:1"),
        ("a:\n  b:\n    c: 1\n  \td: 2\n", "4:3"),
        ("a: |\n\tx\n", "2:1"),
        ("\ta: 1\n", "1:1"),
    ],
)
def test_tab_is_called_a_tab(text: str, place: str) -> None:
    told = problems(text)
    assert told == [f"airlock.yaml:{place}: not YAML: this line is indented with a tab; use spaces"]


def test_what_is_never_closed_is_told_by_the_line_where_it_begins() -> None:
    assert problems("a: 1\nb: [x,\n  y\nc: 2\n")[0].endswith("while parsing a flow sequence, which starts in line 2")


def test_control_character_is_refused_with_its_position() -> None:
    assert problems("a: x\nb: \x00\n") == ["airlock.yaml:2:4: a control character, '\\x00'"]


def test_lone_surrogate_is_refused() -> None:
    assert problems("a: \ud800") == ["airlock.yaml:1:4: a control character, '\\ud800'"]


def test_unknown_alias_is_refused() -> None:
    assert "undefined alias" in problems("a: *nothing")[0]


# --- what is meant to hurt -----------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 40))

HURTFUL = {
    "billion laughs": LAUGHS,
    "deep lists": "a: " + "[" * 1_000_000,
    "deep mappings": "a: " + "{a: " * 250_000,
    "deep blocks": "- " * 500_000,
    "deep keys": "? " * 500_000,
    "many items": "a: [" + "x," * 500_000 + "]",
    "many anchors": "a: [" + "&a x," * 200_000 + "]",
    "many documents": "---\n" * 250_000,
    "long tag": "a: !" + "x" * 1_000_000 + " b",
    "long number": "a: " + "1" * 1_000_000,
    "many keys": "".join(f"k{n}: x\n" for n in range(90_000)),
    "many references": "a: '" + "${" * 500_000 + "'",
}


@pytest.mark.parametrize("text", HURTFUL.values(), ids=HURTFUL)
def test_hurtful_file_is_refused_at_once(text: str) -> None:
    started = time.process_time()
    told = problems(text)
    assert time.process_time() - started < 1.5
    assert len("".join(told)) < 1000


def test_depth_of_fifty_is_fine_and_one_more_is_not() -> None:
    parse("a: " + "[" * 49 + "]" * 49)
    assert problems("a: " + "[" * 50 + "]" * 50) == ["airlock.yaml:1:53: nested deeper than 50 levels"]


def test_aliases_count_as_what_they_expand_to() -> None:
    many = ", ".join(["x"] * 999)
    parse(f"a: &a [{many}]\nb: [*a, *a, *a, *a, *a, *a, *a, *a]\n")
    (told,) = problems(f"a: &a [{many}]\nb: [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n")
    assert told.endswith("more than 10000 keys and values, with aliases expanded")


# --- files ---------------------------------------------------------------------------------------------------------


def test_read_takes_a_file_with_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "airlock.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yaml_source.read(path, {}).data == {"a": 1}


def test_file_over_a_mebibyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "airlock.yaml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert problems_of(path) == [f"{path}: larger than 1048576 bytes"]


def test_device_is_refused() -> None:
    assert problems_of(Path("/dev/zero")) == ["/dev/zero: not a regular file"]


def test_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert problems_of(path) == [f"{path}: not a regular file"]


def test_directory_is_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == [f"{tmp_path}: not a regular file"]


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "no.yaml") == [f"{tmp_path}/no.yaml: cannot be read: No such file or directory"]


def test_bytes_that_are_not_utf_8_are_refused_with_their_position(tmp_path: Path) -> None:
    path = tmp_path / "airlock.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    assert problems_of(path) == [f"{path}:2:4: not UTF-8"]


def test_utf_16_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "airlock.yaml"
    path.write_bytes("a: 1\n".encode("utf-16"))
    assert problems_of(path) == [f"{path}:1:1: not UTF-8"]
