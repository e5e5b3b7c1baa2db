"""What the server tells a box, once. Types only: in the box it is a plain dict."""

from __future__ import annotations

from typing import TypedDict


class BoxLimits(TypedDict):
    """The limits of one execution that are set from inside. Sizes are bytes."""

    memory: int
    processes: int
    files: int
    file_size: int
    scratch: int
    terminals: int
    memory_cgroup: bool  # whether a cgroup holds `memory` for all processes together
    process_cgroup: bool  # whether one holds `processes`
    reached: dict[str, str]  # the line for stderr of each limit that the sandbox itself has to find out about
    cores: int  # how many CPU cores one execution can use at once


class BoxConfig(TypedDict):
    """The configuration of a box."""

    project: str  # its name, for the titles of processes
    uids: tuple[int, int] | None  # if started as root: whom to become, and how many ids from there on scripts have
    binds: list[tuple[str, str]]  # what is visible inside: (path outside, path inside)
    files: dict[str, str]  # what stands in small files inside, by their paths
    prefix: str  # of the interpreter, as scripts see it
    links: dict[str, str]  # and where symbolic links lead
    masks: list[str]  # directories inside those that are not
    site: str | None  # where the project's packages lie inside
    preload: list[str]
    preload_reseed: list[str]
    library: str | None  # where `template.c` is, compiled
    layers: list[str]  # names of `layers.LAYERS`: all of them, but for tests that prove what each one is good for
    limits: BoxLimits
    bpf: str  # seccomp program of a script, base64
    socket_bpf: str  # that of the zygote, which asks it before a script makes an internet socket
