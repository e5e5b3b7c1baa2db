"""No secret leaves in any usual form, in texts and in values."""

import base64
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.secrets.leaks import FORMS, SECRET, leaks, letters, secrets

from airlock.models import LLMRequest
from airlock.secrets.redaction import MARK, Redactor

PEM = (
    "-----BEGIN KEY-----\n"
    + "\n".join(base64.encodebytes(bytes(range(200))).decode().split())
    + "\n-----END KEY-----\n"
)


# --- what is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, "hunter2-hunter2", "12345678", "пароль-пароль", "tab\tand\x1bescape"])
@pytest.mark.parametrize("form", FORMS)
def test_usual_forms_are_found(form: str, secret: str) -> None:
    shown = Redactor([secret]).text(f"x{FORMS[form](secret)}\n")
    assert MARK in shown
    assert leaks(secret, shown) == []
    assert (shown[0], shown[-1]) == ("x", "\n")


def test_what_is_no_secret_stays_as_it_is() -> None:
    text = f"{SECRET[:-1]} {SECRET[1:]} [redacted] {SECRET.upper()}\n"
    assert Redactor([SECRET]).text(text) == text


def test_each_line_of_a_secret_is_one_if_it_is_long_enough() -> None:
    key = PEM.splitlines()[1]
    assert (
        Redactor([PEM]).text(f"<{PEM}><{key}><{base64.b64encode(key.encode()).decode()}>")
        == f"<{MARK}><{MARK}><{MARK}>"
    )
    assert Redactor(["a-long-line\nshort\n"]).text("short, a-long-line") == f"short, {MARK}"


def test_base64_that_is_broken_into_lines_is_found() -> None:
    shown = Redactor(["x1y2z3" * 30]).text(base64.encodebytes(b"x1y2z3" * 30).decode())
    assert shown == f"{MARK}\n" * 4


def test_of_secrets_that_overlap_nothing_is_left() -> None:
    redactor = Redactor(["abcdefgh12", "12345678xy", "inner-secret", "an inner-secret in another"])
    assert redactor.text("<abcdefgh12345678xy>") == f"<{MARK}>"
    assert redactor.text("<an inner-secret in another>") == f"<{MARK}>"
    assert redactor.text("<an inner-secret in a>") == f"<an {MARK} in a>"
    assert Redactor(["aaaaaaaa"]).text("<" + "a" * 100 + ">") == f"<{MARK}>"


def test_no_secrets_change_nothing() -> None:
    redactor = Redactor()
    value = {"a": [1, None, 2.5]}
    assert redactor.stream() is None
    assert redactor.value(value) is value
    assert redactor.text("x") == "x"


# --- values --------------------------------------------------------------------------------------------------------


def test_texts_keys_and_numbers_of_a_value_are_redacted() -> None:
    redactor = Redactor([SECRET, "12345678", "0.12345"])
    value = {
        "text": [f"a {SECRET}", {"deep": SECRET}],
        f"key {SECRET}": True,
        "numbers": [12345678, -12345678, 1234567, 912345678.5, 10.12345, 1e300, True, None],
    }
    assert redactor.value(value) == {
        "text": [f"a {MARK}", {"deep": MARK}],
        f"key {MARK}": True,
        "numbers": [MARK, f"-{MARK}", 1234567, f"9{MARK}.5", 10.12345, 1e300, True, None],
    }


def test_keys_that_become_the_same_lose_nothing() -> None:
    redactor = Redactor([SECRET, "another-secret"])
    value = {SECRET: 1, "another-secret": 2, MARK: 3, f"{MARK} (2)": 4, f"{SECRET}!": 5}
    assert redactor.value(value) == {MARK: 3, f"{MARK} (2)": 4, f"{MARK} (3)": 1, f"{MARK} (4)": 2, f"{MARK}!": 5}


def test_many_keys_that_become_the_same_take_no_long_time() -> None:
    secrets = [f"secret-number-{n:05}" for n in range(500)]
    value = dict.fromkeys(secrets, 1)
    began = time.process_time()
    assert len(Redactor(secrets).value(value)) == 500
    assert time.process_time() - began < 10


def test_keys_of_memory_stay_keys_of_memory() -> None:
    redactor = Redactor(["category.and.key", "only-the-key"])
    updates = {"category.and.key": 1, "auth.only-the-key": ["only-the-key"], "a.b": 2}
    assert redactor.memory(updates) == {f"{MARK}.{MARK}": 1, f"auth.{MARK}": [MARK], "a.b": 2}


def test_prompts_and_names_of_models_are_redacted() -> None:
    asked = Redactor([SECRET]).request(LLMRequest(prompt=f"Is {SECRET} safe?", model=SECRET))
    assert asked == LLMRequest(prompt=f"Is {MARK} safe?", model=MARK)


@given(
    secrets, st.recursive(st.none() | st.integers() | st.text(letters, max_size=5), st.lists, max_leaves=10), st.data()
)
def test_no_value_leaks(secrets: list[str], value: Any, data: st.DataObject) -> None:
    form = FORMS[data.draw(st.sampled_from(sorted(FORMS)))]
    put = {
        form(secrets[0]): value,
        "k": [value, form(secrets[-1])],
        "n": int(secrets[0]) if secrets[0].isdecimal() else 0,
    }
    assume(len(put) == 3)
    shown = Redactor(secrets).value(put)
    assert len(shown) == 3

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [*value, *texts(list(value.values()))]
        return [text for item in value for text in texts(item)] if isinstance(value, list) else [str(value)]

    for secret in secrets:
        assert [leaks(secret, text) for text in texts(shown) if leaks(secret, text)] == []
