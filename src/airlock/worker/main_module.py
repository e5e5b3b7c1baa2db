"""The script as a file in the working folder, and the module `__main__` that `python main.py` makes of it."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import itertools
import os
import sys
import tokenize
import types
from importlib.machinery import SourceFileLoader

STEM = "main"
_reserved: str | None = None  # the name of a file that waits for its script


def reserve() -> str:
    """Make the file of a script that is yet to come; returns its path. So the folder changes now, and not then."""
    global _reserved  # noqa: PLW0603 - a process runs one script
    path = write(b"")
    _reserved = os.path.basename(path)
    return path


def write(data: bytes) -> str:
    """Write a script into the working folder, as main.py, or main_1.py where there is one already; returns its path.

    Where it does not fit (limits.file_size, limits.scratch), there is no file; it runs all the same.
    """
    name, descriptor = _open()
    path = os.path.join(os.getcwd(), name)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.ENOSPC):
            raise
        os.unlink(name)
    finally:
        os.close(descriptor)
    return path


def _open() -> tuple[str, int]:
    if _reserved is not None:
        return _reserved, os.open(_reserved, os.O_WRONLY | os.O_CLOEXEC)
    for number in itertools.count():
        name = f"{STEM}_{number}.py" if number else f"{STEM}.py"
        with contextlib.suppress(FileExistsError):
            return name, os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    raise AssertionError("numbers do not end")


def encoded(code: str) -> bytes:
    """Return a script's bytes, in the encoding that it declares (PEP 263), for that is how CPython reads the file."""
    plain = code.encode("utf-8", "surrogatepass")
    if any("coding" in line for line in code.split("\n", 2)[:2]):
        try:
            return code.encode(tokenize.detect_encoding(io.BytesIO(plain).readline)[0])
        except (SyntaxError, UnicodeError):  # CPython says what is wrong with it
            return plain
    return plain


def make(path: str) -> types.ModuleType:
    """Make and install the module `__main__`."""
    main = types.ModuleType("__main__")
    main.__dict__.update(
        __annotations__={},
        __builtins__=builtins,
        __cached__=None,
        __file__=path,
        __loader__=SourceFileLoader("__main__", path),
    )
    sys.modules["__main__"] = main
    return main
