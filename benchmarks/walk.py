"""Traces the way of one execution through Airlock's files: calls, and moves between files and rooms.

    .venv/bin/python benchmarks/walk.py [--trips 5]

It uses only the REST API and the files' paths, so it runs unchanged before and after files move.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from in_process import configuration, in_process

import airlock.api

if TYPE_CHECKING:
    from types import FrameType

    from in_process import Request

CORE = Path(airlock.api.__file__).parent
REPOSITORY = CORE.parents[1]

CONFIG = "projects: {bench: {replicas: 1, backend: local}}"
ASK = "print('asking')\nset_result(llm.complete('?'))"
PHASES = ("POST /execute?wait=10, to the pause", "POST respond", "GET ?wait=10, to the end", "after the answer")
SETTLED = 1.0  # seconds after the answer in which observers are called and the next sandbox is created


class Call(NamedTuple):
    """A call of a function; `task` is None in a callback of the loop, and the thread's number outside the loop."""

    task: object
    file: str

    @property
    def is_core(self) -> bool:
        return not self.file.startswith("(")

    @property
    def room(self) -> str:
        return self.file.partition("/")[0] if "/" in self.file else "ground"


class Tracer:
    """Records every call of Airlock's functions in this process; a coroutine that resumes does not count again."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._names: dict[str, str] = {}

    def __enter__(self) -> Tracer:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if (name := self._names.get(code.co_filename)) is None:
            name = self._names[code.co_filename] = name_of(Path(code.co_filename))
        # A coroutine that resumes is an event too. The argument of RESUME tells them apart: 0 starts a function.
        if name and code.co_code[frame.f_lasti + 1] & 3 == 0:
            try:
                task: object = asyncio.current_task()
            except RuntimeError:  # a thread without a loop
                task = threading.get_ident()
            self.calls.append(Call(task, name))


def name_of(path: Path) -> str:
    """Name a file relative to its package, in brackets for a plugin's; "" if it is not Airlock's."""
    if path.is_relative_to(CORE):
        return str(path.relative_to(CORE).with_suffix(""))
    folder, *parts = path.relative_to(REPOSITORY).parts if path.is_relative_to(REPOSITORY) else ("",)
    if "src" not in parts or "site-packages" in parts:
        return ""
    name = "/".join(parts[parts.index("src") + 1 :]).removesuffix(".py")
    return f"({name})" if folder == "plugins" else name


async def trip(request: Request, calls: list[Call]) -> list[list[Call]]:
    """Run the script once; returns the calls of each phase."""
    calls.clear()
    phases = []

    def ends() -> None:
        phases.append(calls.copy())
        calls.clear()

    paused = await request("POST", "/execute?wait=10", {"project": "bench", "code": ASK})
    ends()
    assert paused["status"] == "awaiting_llm", paused
    path = f"/executions/{paused['execution_id']}"
    await request("POST", f"{path}/respond", {"response": "x"})
    ends()
    done = await request("GET", f"{path}?wait=10")
    ends()
    assert done["status"] == "completed", done
    await asyncio.sleep(SETTLED)
    ends()
    return phases


def changes(places: list[Any]) -> int:
    return sum(place != before for before, place in pairwise(places))


def figures(calls: list[Call]) -> list[int]:
    """Count calls, moves, moves within core, core's files, plugins' files, and moves between core's rooms."""
    core = [call for call in calls if call.is_core]
    files = {call.file for call in calls}
    files_of_core = {call.file for call in core}
    rooms = changes([call.room for call in core])
    return [len(calls), changes(calls), changes(core), len(files_of_core), len(files - files_of_core), rooms]


async def trips(count: int) -> list[list[list[Call]]]:
    with Tracer() as tracer:
        async with in_process() as request:
            await trip(request, tracer.calls)  # for imports and caches
            await asyncio.sleep(SETTLED)
            return [await trip(request, tracer.calls) for _ in range(count)]


def main(count: int) -> None:
    with configuration(CONFIG):
        found = asyncio.run(trips(count))
    print("| phase | calls | moves | moves in core | files of core | files of plugins | moves between rooms |")
    print("|---|---|---|---|---|---|---|")
    whole = [list(chain(*phases)) for phases in found]
    for name, column in [*zip(PHASES, zip(*found, strict=True), strict=True), ("the whole trip", whole)]:
        medians = map(statistics.median, zip(*map(figures, column), strict=True))
        print(f"| {name} | {' | '.join(f'{median:.0f}' for median in medians)} |")
    calls = whole[-1]
    print("\nFiles in order of first entry:", ", ".join(dict.fromkeys(call.file for call in calls)))
    rooms = [call.room for call in calls if call.is_core]
    print("\nRooms in order of first entry:", ", ".join(dict.fromkeys(rooms)))
    moves = Counter((before, room) for before, room in pairwise(rooms) if before != room)
    print("\nMoves between them:", ", ".join(f"{a} > {b} {times}" for (a, b), times in moves.most_common()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trips", type=int, default=5)
    main(parser.parse_args().trips)
