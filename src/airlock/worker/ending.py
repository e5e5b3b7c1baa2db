"""What CPython does between a script's last line and the end of its process: it waits, calls, clears and writes.

That is `Py_FinalizeEx` in CPython's pylifecycle.c without what nobody sees: the globals of imported modules are not
cleared, and the interpreter is not taken down, which would cost a small script more than all the rest.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
import traceback
import types
from typing import TYPE_CHECKING, Any, NoReturn

from .llm import flush_output
from .streams import ALL_SIGNALS
from .syscalls import libc

if TYPE_CHECKING:
    from collections.abc import Callable

UNWRITTEN = 120  # exit code when stdout or stderr cannot be flushed
LAST = ("last_exc", "last_type", "last_value", "last_traceback")  # what `sys` keeps of an exception, and so its frames
COLLECT = compile("collect()", "sys", "exec")  # warnings then name `sys:1` as their place, as those of CPython do


def finish(end: dict[str, Any], before_clearing: Callable[[], object]) -> None:
    """Do all of that; the body of END changes when the output cannot be written. Afterwards no code of the script runs.

    It may take as long as the script likes: whoever started it ends it at its timeout.
    """
    _shielded(_join_threads, sys.modules.get("threading"))
    if atexit._ncallbacks():
        _shielded(atexit._run_exitfuncs, atexit)  # also those of `logging`, `weakref` and `multiprocessing`
    _flush(end)
    before_clearing()
    _shielded(_clear_main, sys)
    with contextlib.suppress(BaseException):  # CPython ignores errors by now
        flush_output()
    libc.fflush(None)  # what C code has printed
    with contextlib.suppress(BaseException):  # of a handler that was due
        signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)


def leave(exit_code: int) -> NoReturn:
    """End this process, which is a child of the script, with this exit code; a negative one is a signal."""
    if exit_code < 0:
        signal.signal(-exit_code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL_SIGNALS)
        os.kill(os.getpid(), -exit_code)
    os._exit(exit_code)


def _join_threads() -> None:
    """Join those that are no daemons, and end executors, if there can be any."""
    if (threading := sys.modules.get("threading")) is not None:
        threading._shutdown()


def _shielded(call: Callable[[], object], owner: object) -> None:
    """Call it; what it raises goes to `sys.unraisablehook`, and so to stderr."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - all of them are the script's
        _report(error, owner)


def _report(error: BaseException, owner: object) -> None:
    lines = error.__traceback__ and error.__traceback__.tb_next  # without our own frame
    hook: Any = sys.unraisablehook
    with contextlib.suppress(BaseException):  # a hook or stderr of the script, which may raise anything
        if hook is sys.__unraisablehook__:  # takes only what the interpreter made
            sys.stderr.write(f"Exception ignored in: {owner!r}\n")
            traceback.print_exception(type(error), error, lines)
        else:
            hook(
                types.SimpleNamespace(
                    exc_type=type(error), exc_value=error, exc_traceback=lines, err_msg=None, object=owner
                )
            )


def _flush(end: dict[str, Any]) -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except BaseException as error:  # noqa: BLE001 - the script may have replaced it with anything
            if name == "stdout":
                _report(error, stream)
            end["exit_code"] = UNWRITTEN
            end["error"] = end["error"] or f"{type(error).__name__}: sys.{name} cannot be flushed"


def _clear_main() -> None:
    """Drop the script's globals, so that files are written, and `__del__` and unfinished generators run.

    `__del__` still finds the globals: with functions or classes they are a cycle, which the garbage collector ends.
    """
    for name in LAST:
        sys.__dict__.pop(name, None)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    main = sys.modules.get("__main__")
    other = types.ModuleType("__main__")
    is_cycle = sys.getrefcount(getattr(main, "__dict__", None)) > sys.getrefcount(other.__dict__)
    if is_cycle:
        gc.collect()  # puts a file before its buffer, and that before its descriptor: they are closed in that order
    sys.modules.pop("__main__", None)
    del main
    if is_cycle:
        exec(COLLECT, {"collect": gc.collect})  # noqa: S102 - a constant
