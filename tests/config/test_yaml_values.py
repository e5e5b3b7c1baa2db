"""Keys and values of airlock.yaml: the dialect, the environment, and what is refused."""

import pytest
from tests.config.yaml_text import parse, problems


@pytest.mark.parametrize("word", ["no", "on", "yes", "12:30", "2024-01-01", "0x10", "1_000", ".inf", ".nan", "<<"])
def test_words_that_only_yaml_1_1_converts_stay_text(word: str) -> None:
    assert parse(f"key: {word}") == {"key": word}


def test_leading_zeros_do_not_make_a_number_octal() -> None:
    assert parse("key: 0777") == {"key": 777}


# --- environment ---------------------------------------------------------------------------------------------------


def test_environment_expands_in_values() -> None:
    assert parse("a: pre-${NAME}-post", NAME="x") == {"a": "pre-x-post"}


def test_environment_expands_in_lists() -> None:
    assert parse("a: ['${NAME}']", NAME="x") == {"a": ["x"]}


def test_environment_does_not_expand_in_keys() -> None:
    assert parse("${NAME}: 1", NAME="x") == {"${NAME}": 1}


def test_expanded_value_is_always_text() -> None:
    assert parse("a: ${NAME}", NAME="8000") == {"a": "8000"}


def test_expanded_value_is_not_expanded_again() -> None:
    assert parse("a: ${NAME}", NAME="${OTHER}", OTHER="secret") == {"a": "${OTHER}"}


@pytest.mark.parametrize(("value", "expected"), [(None, "d"), ("", "d"), ("x", "x")])
def test_default_stands_in_for_unset_and_empty(value: str | None, expected: str) -> None:
    assert parse("a: ${NAME:-d}", **({} if value is None else {"NAME": value})) == {"a": expected}


def test_doubled_dollar_is_a_plain_one() -> None:
    assert parse("a: $${NAME} $5") == {"a": "${NAME} $5"}


def test_unset_variables_are_all_reported_with_positions() -> None:
    first, second = problems("a: ${ONE}\nb:\n  - ${TWO}\n")
    assert first.startswith("airlock.yaml:1:4: a: the environment variable ONE is not set")
    assert second.startswith("airlock.yaml:3:5: b[0]: the environment variable TWO is not set")


@pytest.mark.parametrize("text", ["${", "${}", "${a b}", "${NAME:=x}", "${NAME"])
def test_malformed_reference_is_refused(text: str) -> None:
    assert problems(f"a: '{text}'", NAME="x")[0].startswith("airlock.yaml:1:4: a: write ${NAME}")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_duplicate_key_names_both_lines() -> None:
    assert problems("p:\n  x: 1\n  y: 2\n  x: 3\n") == ["airlock.yaml:4:3: p.x: duplicate key; it is already in line 2"]


@pytest.mark.parametrize("key", ["5", "true", "~", "1.5", "[a]", "{a: b}"])
def test_key_that_is_not_text_is_refused(key: str) -> None:
    assert problems(f"? {key}\n: x\n")[0].startswith("airlock.yaml:1:3: a key must be text")


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/name:os.system x",
        "!!set {a, b}",
        "!!omap [a: b]",
        "!!binary aGk=",
        "!!timestamp 2024-01-01",
        "!mine x",
        "!mine [x]",
        "!!str [x]",
        "!!map x",
    ],
)
def test_tag_beyond_the_standard_ones_is_refused(tagged: str) -> None:
    (told,) = problems(f"a: {tagged}")
    assert told.startswith("airlock.yaml:1:4: a: the tag !")
    assert told.endswith(" is not allowed")


def test_standard_tag_is_obeyed() -> None:
    assert parse("a: !!str 5\nb: !!int '5'") == {"a": "5", "b": 5}


@pytest.mark.parametrize("value", ["!!int x", "!!bool x", "!!float .inf", "!!null x", "1e999", "9" * 5000])
def test_impossible_value_is_refused(value: str) -> None:
    (told,) = problems(f"a: {value}")
    assert told.startswith("airlock.yaml:1:4: a: ")
    assert len(told) < 200


def test_alias_to_itself_is_refused() -> None:
    assert problems("a: &x [*x]") == ["airlock.yaml:1:8: an alias to a value that contains it"]
