"""Where a script was when Airlock ended it, found in what its process wrote to stderr on Airlock's signal.

All of it may be the script's invention. It is text for stderr, and a place that is named in `error`: no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from airlock.worker.layers import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_KEPT: Final = 256 << 10  # bytes that are kept and searched; a hundred threads with deep stacks write as much
MAX_NAME: Final = 200  # characters of a place
# The format of `faulthandler`: see `dump_traceback` in CPython's Python/traceback.c.
_THREAD: Final = re.compile(
    r"(?:Current thread|Thread) 0x[0-9a-f]{8,16}(?: \[[^\]\n]{0,64}\])? \(most recent call first\):\n"
)
_FRAME: Final = re.compile(r'  File "([^"\n]{1,600})", line (\d{1,9}|\?\?\?) in ([^\n]{1,600})\n')
_CUT_OFF: Final = re.compile(r'  File "[^\n]{0,1300}')  # the process was killed before the end of this line
_WORKER: Final = ["airlock", "worker"]  # the folder of our own code


class _Frame(NamedTuple):
    text: str
    file: str
    line: str
    function: str

    @property
    def is_of_script(self) -> bool:
        return self.file.startswith(f"{WORKSPACE}/")

    @property
    def is_ours(self) -> bool:
        return self.file.startswith("<airlock") or self.file.split("/")[-3:-1] == _WORKER

    @property
    def place(self) -> str:
        where = f"{self.file}:{self.line}"
        return where if self.function == "<module>" else f"{where} in {self.function}"


class LastWords:
    """What comes on stderr while a script is being ended: kept until the end, then written without our own frames."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._kept = bytearray()
        self._is_full = False

    def feed(self, data: bytes) -> None:
        """Take a piece of stderr. Beyond what is kept, it is passed on as it is."""
        if not self._is_full:
            self._kept += data
            self._is_full = len(self._kept) > MAX_KEPT
            data = bytes(self._kept) if self._is_full else b""
        if data:
            self._write(data)

    def finish(self) -> str | None:
        """Write what was kept; returns the innermost place of the script in the thread that ran, if it is there."""
        if self._is_full or not self._kept:
            return None
        text = self._kept.decode("utf-8", "surrogateescape")
        place = None
        rest = 0
        written: list[str] = []
        for begin, head, frames, end in _stacks(text):
            own = [frame for frame in frames if frame.is_of_script]
            if own and (place is None or head.startswith("Current")):
                place = own[0].place[:MAX_NAME]
            shown = list(_of_script(frames))
            written += [text[rest:begin], *([head, *shown] if shown or not frames else [])]
            rest = end
        if not _CUT_OFF.fullmatch(text, rest):
            written.append(text[rest:])
        self._write("".join(written).encode("utf-8", "surrogateescape"))
        return place


def _stacks(text: str) -> Iterator[tuple[int, str, list[_Frame], int]]:
    """Yield (begin, head, frames, end) of each stack; the blank line behind it belongs to it."""
    for head in _THREAD.finditer(text):
        frames, end = [], head.end()
        while (found := _FRAME.match(text, end)) is not None:
            frames.append(_Frame(found[0], *found.groups()))
            end = found.end()
        yield head.start(), head[0], frames, end


def _of_script(frames: list[_Frame]) -> Iterator[str]:
    """Leave out what lies around the script, and the SDK in it."""
    last = max((number for number, frame in enumerate(frames) if frame.is_of_script), default=None)
    if last is None:
        last = next((number for number, frame in enumerate(frames) if frame.is_ours), len(frames)) - 1
    for frame in frames[: last + 1]:
        if frame.is_of_script or not frame.is_ours:
            yield frame.text
