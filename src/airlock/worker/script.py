"""Runs one script in its own process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from . import codec, ending, known_types, llm, main_module, sdk, streams, values

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator, Mapping

    from .codec import Channel
    from .reached import Reached

MAX_ERROR = 2_000  # characters of the line that becomes `error`
MAX_CHAIN = 20  # exceptions in one chain of causes
OURS = (
    codec.encode,
    known_types.find,
    llm.flush_output,
    main_module.make,
    sdk.provide,
    streams.open_standard_streams,
    values.encode,
)
CALLERS = {__name__, ending.__name__}  # modules whose functions call those of the script
OWN_FILES = {sys._getframe().f_code.co_filename, *(function.__code__.co_filename for function in OURS)}


def run(
    job: Mapping[str, Any], channel: Channel, reached: Reached | None = None, path: str | None = None
) -> dict[str, Any]:
    """Write `job["code"]` into the working folder as main.py and run it as `__main__`; returns the body of END.

    That is `error`, None or one line that says what went wrong, and `exit_code`, with which CPython would end.

    With `path` the script is compiled under that name, and no file is written. Tracebacks go to stderr, without our own
    frames; `reached` adds which limit it reached. The script controls everything in this process. What follows in
    CPython after a script's last line is in `ending`.
    """
    error, exit_code = None, 0
    raised = _execute(job, channel, path)
    if isinstance(raised, SystemExit):
        error, exit_code = _exit(raised.code)
    elif raised is not None:
        exit_code = _show(raised)
        error = _describe(raised) if exit_code else None
        _flush()
        if reached is not None:
            reached.look_at_error(raised)
    _flush()
    if error is not None:
        error = error.encode("utf-8", "backslashreplace").decode()  # without lone surrogates
    return {"error": error, "exit_code": exit_code}


def _execute(job: Mapping[str, Any], channel: Channel, path: str | None) -> BaseException | None:
    """Returns what it raised, with the traceback as it begins in the script."""
    try:
        data = main_module.encoded(job["code"])
        if path is None:
            path = main_module.write(data)
            sys.argv, sys.orig_argv = [path], ["python", path]
            sys.path.insert(0, os.path.dirname(path))
        main = main_module.make(path)
        sdk.provide(job, channel)
        exec(compile(data, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - the purpose
    except BaseException as raised:  # noqa: BLE001 - whatever a script raises is its outcome
        return _without_our_frame(raised)
    return None


def _without_our_frame(error: BaseException) -> BaseException:
    """Cut off the place where we caught it."""
    lines = sys.exc_info()[2]
    return BaseException.with_traceback(error, lines and lines.tb_next)


def _exit(code: object) -> tuple[str | None, int]:
    """Do what the interpreter does about a SystemExit. Returns the error, if it is one, and the exit code."""
    if code is None:
        return None, 0
    if isinstance(code, int):
        status = (int(code) if abs(code) < 1 << 63 else -1) & 0xFF
        return f"SystemExit: {status}" if status else None, status
    try:
        text = str(code)
        sys.stderr.write(f"{text}\n")
    except BaseException as raised:  # noqa: BLE001 - a hostile __str__ or stderr
        return f"SystemExit: <{type(raised).__name__}>", 1
    return f"SystemExit: {text[:MAX_ERROR]}", 1


def _describe(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)[:MAX_ERROR]
    except BaseException as raised:  # noqa: BLE001 - a hostile __str__
        text = f"<str() raised {type(raised).__name__}>"
    return f"{name}: {text}" if text else name


def _show(error: BaseException) -> int:
    """Do what the interpreter does about an exception that nobody caught. Returns the exit code."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None or hook is sys.__excepthook__:
        _print_traceback(error)
    else:
        try:
            hook(type(error), error, error.__traceback__)
        except SystemExit as exit_:
            return _exit(exit_.code)[1]
        except BaseException as raised:  # noqa: BLE001 - the hook is the script's
            _write("Error in sys.excepthook:\n")
            _print_traceback(_without_our_frame(raised))
            _write("\nOriginal exception was:\n")
            _print_traceback(error)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _write(text: str) -> None:
    with contextlib.suppress(BaseException):  # a script's replacement for it may raise anything
        sys.stderr.write(text)


def _print_traceback(error: BaseException) -> None:
    """Have the interpreter print it, without our own frames."""
    with contextlib.suppress(BaseException):  # a hostile exception, or a closed stderr: the error line remains
        _hide_our_own(error)
        sys.__excepthook__(type(error), error, error.__traceback__)


def _hide_our_own(error: BaseException | None) -> None:
    """Cut our frames out of the tracebacks of a chain of exceptions: the script cannot fix what is there."""
    for _ in range(MAX_CHAIN):
        if error is None:
            break
        error.__traceback__ = _of_the_script(error.__traceback__)
        error = error.__cause__ or error.__context__


def _of_the_script(lines: types.TracebackType | None) -> types.TracebackType | None:
    """Return a traceback without our frames."""
    lines = line = _next_of_the_script(lines)
    while line is not None:
        following = line.tb_next = _next_of_the_script(line.tb_next)
        line = following
    return lines


def _next_of_the_script(line: types.TracebackType | None) -> types.TracebackType | None:
    while line is not None and line.tb_frame.f_code.co_filename in OWN_FILES:
        line = line.tb_next
    return line


def _flush() -> None:
    with contextlib.suppress(BaseException):  # a script's replacement for them may raise anything
        llm.flush_output()


def walk_the_script(f: types.FrameType | None) -> Iterator[tuple[types.FrameType, int]]:
    """Stand in for `traceback.walk_stack`, which yields what `traceback` and `logging` print: end in the script."""
    return takewhile(_is_of_the_script, _walk_stack(f or sys._getframe(1)))


def _is_of_the_script(place: tuple[types.FrameType, int]) -> bool:
    return place[0].f_globals.get("__name__") not in CALLERS


_walk_stack = traceback.walk_stack
