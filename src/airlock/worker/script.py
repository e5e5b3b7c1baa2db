"""Runs one script in its own process."""

from __future__ import annotations

import builtins
import contextlib
import linecache
import signal
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any

from . import codec, sdk, streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel
    from .reached import Reached

FILENAME = "<script>"
MAX_ERROR = 2_000  # characters of the line that becomes `error`
MAX_TRACEBACK = 65_536  # characters
COMPACT: dict[str, Any] = {"compact": True} if sys.version_info >= (3, 10) else {}  # 3.9 cannot keep less
MAX_CHAIN = 20  # exceptions in one chain of causes
OWN_FILES = {
    function.__code__.co_filename for function in (codec.encode, sdk.script_globals, streams.open_standard_streams)
}


def run(job: Mapping[str, Any], channel: Channel, reached: Reached | None = None) -> dict[str, Any]:
    """Compile and run `job["code"]` as `__main__`; returns the body of END.

    That is `error`, None or one line that says what went wrong, and `exit_code`, with which CPython would end.

    Tracebacks go to stderr, with the script's own source lines and none of ours; `reached` adds which limit it reached.
    The script controls everything in this process. What follows in CPython after a script's last line is in `ending`.
    """
    code = job["code"]
    main = types.ModuleType("__main__")
    main.__dict__.update(sdk.script_globals(job, channel), __builtins__=builtins)
    sys.modules["__main__"] = main
    linecache.cache[FILENAME] = (len(code), None, code.splitlines(True), FILENAME)
    error, exit_code = None, 0
    raised = _execute(code, main.__dict__)
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


def _execute(code: str, names: dict[str, Any]) -> BaseException | None:
    """Returns what it raised, with the traceback as it begins in the script."""
    try:
        exec(compile(code[1:] if code[:1] == "\ufeff" else code, FILENAME, "exec", dont_inherit=True), names)  # noqa: S102 - the purpose
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
    try:
        shown = traceback.TracebackException(
            type(error),
            error,
            error.__traceback__,
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
        sdk.flush_output()
