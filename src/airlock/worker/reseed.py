"""Seeds generators of random numbers anew in each fork of a warm interpreter, which would all draw the same ones.

Only what a module seeds when it is imported, or before the fork, needs that. `random` sees to it by itself after
`os.fork`; `secrets`, `os.urandom` and `uuid.uuid4` ask the kernel each time.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from .warm import CannotPreload, describe, left_behind, load, open_files

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_MESSAGE = 2_000  # characters
TRIAL_TIME = 10.0  # seconds that a function gets; it is called before each execution
FINE = "fine"


def _reseed_numpy(module: Any) -> None:
    """An array as the seed takes an eighth of the time that `seed()` takes."""
    module.seed(memoryview(os.urandom(64)).cast("I"))


def _reseed_sqlite(module: Any) -> None:
    """SQLite seeds itself anew when it opens a file and finds another pid than last time (`unixOpen` in os_unix.c)."""
    module.connect(f"file:{os.devnull}?mode=ro", uri=True).close()


def _reseed_ssl(module: Any) -> None:
    """OpenSSL tells a fork by its pid, and in two pid namespaces that may be the same number."""
    module.RAND_add(os.urandom(32), 32)


def _reseed_tempfile(module: Any) -> None:
    module._name_sequence = None


def _reseed_uuid(module: Any) -> None:
    """Draw a node, as `getnode` does where there is no network. The C library keeps one that nobody can change."""
    module._generate_time_safe = None
    module._node = int.from_bytes(os.urandom(6), "big") | 1 << 40
    module._last_timestamp = None


def _reseed_multiprocessing(module: Any) -> None:
    module.current_process().authkey = os.urandom(32)


KNOWN: dict[str, Callable[[Any], object]] = {
    "faker.generator": lambda module: module.random.seed(),
    "multiprocessing.process": _reseed_multiprocessing,
    "numpy.random": _reseed_numpy,
    "sqlite3": _reseed_sqlite,
    "ssl": _reseed_ssl,
    "tempfile": _reseed_tempfile,
    "torch": lambda module: module.seed(),
    "uuid": _reseed_uuid,
}
"""By module: what is called if the module is loaded."""


class Reseeding:
    """What to call in each fork; looked up once, before the first fork and after `warm.preload`."""

    def __init__(self, names: list[str]) -> None:
        """`names` are functions of `preload_reseed`, as "module:function". Imports their modules.

        Raises CannotPreload when one cannot be found, or fails in a trial.
        """
        found = [_find(name) for name in names]
        self._calls: list[tuple[str, Callable[[], object]]] = [  # (what an error begins with, function)
            (f"preload: seeding {name} anew", functools.partial(reseed, sys.modules[name]))
            for name, reseed in KNOWN.items()
            if name in sys.modules
        ]
        self.run()  # the first time is slow: OpenSSL takes ten times as long
        for place, reseed in found:
            _try(place, reseed)
        self._calls += found

    def run(self) -> None:
        """Call them all, in a fork. Raises CannotPreload, which names the one that failed."""
        for place, reseed in self._calls:
            _call(place, reseed)


def _call(place: str, reseed: Callable[[], object]) -> None:
    try:
        reseed()
    except BaseException as error:
        raise CannotPreload(f"{place} failed: {describe(error)}"[:MAX_MESSAGE]) from error


def _try(place: str, reseed: Callable[[], object]) -> None:
    """Call it in a fork that is thrown away. Raises CannotPreload if it cannot be called in those of scripts, where one
    that hangs, ends the process or leaves something behind would look like a fault of the sandbox.
    """
    verdict, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(verdict)
        _judge(place, reseed, theirs)
    os.close(theirs)
    with open(verdict, "rb") as file:
        came = select.select([file], [], [], TRIAL_TIME)[0]
        said = file.read1(4 * MAX_MESSAGE).decode() if came else f"{place} does not return within {TRIAL_TIME:g} s"
    if not came:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if said != FINE:
        raise CannotPreload(said or f"{place} ends the process ({_ending(code)})")


def _judge(place: str, reseed: Callable[[], object], verdict: int) -> NoReturn:
    """Say whether a function can be called in a script's process, or why not."""
    own, before = os.getpid(), open_files()
    try:
        _call(place, reseed)
        said = left_behind(before)
        if os.getpid() != own or _has_children():
            said = "leaves a process behind"
        said = f"{place} {said}" if said else FINE
    except BaseException as error:  # noqa: BLE001 - it goes to who called it; nothing else may run here
        said = str(error)
    if os.getpid() == own:
        os.write(verdict, said.encode(errors="replace"))
    os._exit(0)


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _find(name: str) -> tuple[str, Callable[[], object]]:
    place = f"preload_reseed: {name}"
    module, _, path = name.partition(":")
    try:
        found = functools.reduce(getattr, path.split("."), load(module, place))
    except AttributeError as error:
        raise CannotPreload(f"{place}: {error}") from error
    if not callable(found):
        raise CannotPreload(f"{place} is not a function, but of type {type(found).__name__}")
    return place, found
