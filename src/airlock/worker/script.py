"""Runs one script in its own process."""

from __future__ import annotations

import builtins
import contextlib
import io
import linecache
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any

from . import codec, known_types, llm, sdk, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel
    from .reached import Reached

FILENAME = "<script>"
MAX_ERROR = 2_000  # characters of the line that becomes `error`
MAX_TRACEBACK = 65_536  # characters
COMPACT: dict[str, Any] = {"compact": True} if sys.version_info >= (3, 10) else {}  # 3.9 cannot keep less
MAX_CHAIN = 20  # exceptions in one chain of causes
SDK = (codec.encode, known_types.find, llm.flush_output, sdk.provide, values.encode)
OWN_FILES = {each.__code__.co_filename for each in SDK}


def run(job: Mapping[str, Any], channel: Channel, reached: Reached | None = None) -> str | None:
    """Compile and run `job["code"]` as `__main__`; returns None, or one line that says what went wrong.

    Tracebacks go to stderr, with the script's own source lines and none of ours; `reached` adds which limit it reached.
    The script controls everything in this process.
    """
    code = job["code"]
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sdk.provide(job, channel)
    sys.modules["__main__"] = main
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(True), FILENAME)
    _show_output_line_by_line()
    error = None
    try:
        exec(compile(code[1:] if code[:1] == "\ufeff" else code, FILENAME, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - the purpose
    except SystemExit as exit_:
        error = _exit_error(exit_.code)
    except BaseException as raised:  # noqa: BLE001 - whatever a script raises is its outcome
        error = _describe(raised)
        _print_traceback(raised)
        _flush()
        if reached is not None:
            reached.look_at_error(raised)
    _flush()
    sdk.finish()
    if reached is not None:
        reached.look_at_end()
    return None if error is None else error.encode("utf-8", "backslashreplace").decode()  # without lone surrogates


def _show_output_line_by_line() -> None:
    """Flush each line, so that polls see it even while the script waits for an answer, or after it was killed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _exit_error(code: object) -> str | None:
    if code is None or code == 0:
        return None
    if isinstance(code, int):
        return f"SystemExit: {code}" if abs(code) < 1 << 31 else "SystemExit"
    try:
        text = str(code)[:MAX_ERROR]
        sys.stderr.write(text + "\n")  # as the interpreter does
    except BaseException as raised:  # noqa: BLE001 - a hostile __str__ or stderr
        return f"SystemExit: <{type(raised).__name__}>"
    return f"SystemExit: {text}"


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)[:MAX_ERROR]
    except BaseException as raised:  # noqa: BLE001 - a hostile __str__
        text = f"<str() raised {type(raised).__name__}>"
    return f"{name}: {text}" if text else name


def _print_traceback(error: BaseException) -> None:
    try:
        shown = traceback.TracebackException(
            type(error),
            error,
            error.__traceback__ and error.__traceback__.tb_next,  # without our own frame
            limit=-50,
            **COMPACT,
        )
        _hide_our_own(shown)
        left = MAX_TRACEBACK
        for part in shown.format():
            sys.stderr.write(part[:left])
            left -= len(part)
            if left <= 0:
                break
    except BaseException as raised:  # noqa: BLE001 - a hostile exception, or a closed stderr: the error line remains
        _describe(raised)


def _hide_our_own(shown: traceback.TracebackException | None, seen: tuple[int, ...] = ()) -> None:
    """Leave out the SDK's lines: the script cannot fix them, and there is no source to show."""
    if shown is None or id(shown) in seen or len(seen) > MAX_CHAIN:
        return
    shown.stack = traceback.StackSummary.from_list([line for line in shown.stack if line.filename not in OWN_FILES])
    for other in (shown.__cause__, shown.__context__):
        _hide_our_own(other, (*seen, id(shown)))


def _flush() -> None:
    with contextlib.suppress(BaseException):  # a script's replacement for them may raise anything
        llm.flush_output()
