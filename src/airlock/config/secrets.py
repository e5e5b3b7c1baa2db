"""`secrets:` of a project: texts from the environment or from files. Messages about a secret never show it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from airlock.secrets import MARK, MIN_BYTES, forms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Report = Callable[[tuple[str, ...], str], None]

MAX_BYTES: Final = 16 << 10
_REMEDY: Final = "write {env: NAME} or {file: PATH}; the value itself does not belong here"
_PATHS: Final = "its path starts at the folder of airlock.yaml, and the server's user must be able to read it"

SCHEMA: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string", "minLength": 1, "description": "a directory with a file for each secret"},
        {
            "type": "object",
            "additionalProperties": {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {source: {"type": "string", "minLength": 1, "description": description}},
                        "required": [source],
                        "additionalProperties": False,
                    }
                    for source, description in (
                        ("env", "name of an environment variable of the server"),
                        ("file", "path of a file; a relative one starts at the folder of airlock.yaml"),
                    )
                ]
            },
        },
    ]
}
"""The JSON Schema of `secrets:`."""


def read(data: Any, directory: Path, environ: Mapping[str, str], report: Report) -> dict[str, SecretStr]:
    """Read the secrets that `data` names. Relative paths start at `directory`.

    Calls `report` for each one that cannot be used, with its location below `secrets` and what is wrong.
    """
    found = {}
    try:
        sources = _sources(data, directory)
    except (TypeError, ValueError) as error:
        report((), str(error))
        return {}
    for name, source in sources.items():
        try:
            found[name] = _checked(name, _value(source, directory, environ))
        except ValueError as error:
            report((name,), str(error))
    return found


def _sources(data: Any, directory: Path) -> Mapping[str, Any]:
    """Return the source of each secret, skipping hidden files: Kubernetes keeps versions of a directory in `..data`."""
    if data is None or isinstance(data, dict):
        return data or {}
    if not isinstance(data, str) or not data:
        raise TypeError(
            "must be a mapping of names to {env: NAME} or {file: PATH}, or a directory with a file for each"
        )
    try:
        names = sorted(path.name for path in (directory / data).iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ValueError(f"the directory cannot be read ({error.strerror}); {_PATHS}") from None
    if not names:
        raise ValueError("the directory is empty; put a file for each secret into it, or leave the key out")
    return {name: {"file": f"{data}/{name}"} for name in names}


def _value(source: object, directory: Path, environ: Mapping[str, str]) -> bytes:
    match source:
        case {"env": str(name), **rest} if not rest:
            # The message does not name it: if ${NAME} was written instead of NAME, `name` is the value.
            if name not in environ:
                raise ValueError("the environment variable is not set; set it for the server, and write its plain name")
            return os.fsencode(environ[name])
        case {"file": str(path), **rest} if not rest:
            return _content(directory / path)
    raise ValueError(_REMEDY)


def _content(path: Path) -> bytes:
    """Return the content of a file, without the line breaks at its end that editors and `echo` add."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a device may never end, a FIFO may never start
            raise ValueError("not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 3).rstrip(b"\r\n")
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror}); {_PATHS}") from None


def _checked(name: str, value: bytes) -> SecretStr:
    if not name.isprintable():
        raise ValueError("its name is not printable text")
    if len(value) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES} bytes; a secret is a key or a password, not data")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8; encode it, for example in base64, and decode it in the script") from None
    if "\0" in text or "\ufffd" in text:
        raise ValueError("contains NUL or U+FFFD, as damaged text does; encode it, for example in base64")
    if len(text.strip().encode()) < MIN_BYTES:
        raise ValueError(
            f"shorter than {MIN_BYTES} bytes: it could not be distinguished from other output; use a longer one"
        )
    if any(form in MARK.encode() or MARK.encode() in form for form in forms_of(text)):
        raise ValueError(f"looks like {MARK}, which is shown in place of secrets; use another one")
    return SecretStr(text)
