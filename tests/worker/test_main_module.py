"""The script as a file."""

import errno
import os
from pathlib import Path

import pytest

from airlock.worker import main_module


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("mine")
    assert main_module.write(b"theirs") == str(tmp_path / "main_1.py")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["mine", "theirs"]


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ENOSPC])
def test_what_does_not_fit_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    assert main_module.write(b"x = 1") == str(tmp_path / "main.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("'é'", "'é'".encode()),
        ("# coding: latin-1\n'é'", b"# coding: latin-1\n'\xe9'"),
        ("# coding: nonsense\n'é'", "# coding: nonsense\n'é'".encode()),
        ("# coding: ascii\n'é'", "# coding: ascii\n'é'".encode()),
        ("\ufeff1", b"\xef\xbb\xbf1"),
    ],
)
def test_the_encoding_is_the_one_that_the_script_declares(code: str, data: bytes) -> None:
    assert main_module.encoded(code) == data
