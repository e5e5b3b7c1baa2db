"""What `airlock run` reads and writes: the script, its settings and its memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock import strict_json

from .terminal import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STDIN = "-"


def read_script(file: str) -> str:
    """Read the script, or end the command."""
    raw = sys.stdin.buffer.read() if file == STDIN else _read(Path(file))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"{file}: not UTF-8 (byte {error.start})", code=2)


def read_settings(pairs: Iterable[str]) -> dict[str, str]:
    """Read `KEY=VALUE`, `KEY=@FILE` and, for a value that starts with @, `KEY=@@VALUE`; or end the command."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            fail(f"--setting {pair}: write KEY=VALUE or KEY=@FILE", code=2)
        if value.startswith("@@"):
            value = value[1:]
        elif value.startswith("@"):
            value = read_text(Path(value[1:]))
        settings[key] = value
    return settings


def read_memory(path: Path) -> dict[str, Any]:
    """Read the memory of the last run, empty if there is no file; or end the command."""
    if not path.parent.is_dir():
        fail(f"--memory {path}: no such folder: {path.parent}", code=2)
    if not path.exists():
        return {}
    try:
        memory = strict_json.loads(_read(path))
    except ValueError as error:
        fail(f"--memory {path}: not JSON: {error}", code=2)
    if not isinstance(memory, dict):
        fail(f'--memory {path}: must be an object like {{"category.key": value}}', code=2)
    return memory


def write_memory(path: Path, memory: Mapping[str, Any]) -> None:
    """Replace the file atomically, or end the command."""
    target = path.resolve()  # a symbolic link stays one
    try:
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                json.dump(memory, file, ensure_ascii=False, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
                if target.exists():
                    shutil.copymode(target, file.name)
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        fail(f"--memory {path}: {error.strerror}; the script completed, but its memory could not be saved", code=2)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}", code=2)


def read_text(path: Path) -> str:
    """Read a value from a file, or end the command."""
    try:
        return _read(path).decode()
    except UnicodeDecodeError as error:
        fail(f"{path}: not UTF-8 (byte {error.start})", code=2)
