"""What the server tells a container at its start. Types only: inside it is a plain dict."""

from __future__ import annotations

from typing import TypedDict


class Config(TypedDict):
    """The one argument of `main`. Sizes are bytes; a script may read all of it."""

    preload: list[str]
    preload_reseed: list[str]
    memory: int
    cpus: float | None
    processes: int
    files: int
    file_size: int
    reached: dict[str, str]  # the line for stderr of each limit that the script's process has to find out about
    counts_processes_by_user: bool  # the kernel is this container's own
    prefix: str  # of the interpreter, as scripts see it
    cores: int  # how many CPU cores one execution can use at once
