"""What of the host exists inside a box: the interpreter and system libraries, and the project's packages."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import airlock

# Of a prefix, only what programs are run from: /usr/src, /usr/local/etc and the like often hold a server's own files.
TREES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share")
ALTERNATIVES: Final = Path("/etc/alternatives")
PREFIX: Final = "/env"  # the environment of scripts, see `airlock.worker.prefix`
SITE: Final = "/site"  # a fixed place: the private /tmp would hide packages below /tmp


@dataclass(frozen=True)
class View:
    """`binds` are (path outside, path inside), `masks` directories and sockets inside them that are covered.

    `links` are symbolic links that stand in no bind, by their paths inside.
    """

    executable: str
    binds: list[tuple[str, str]]
    masks: list[str]
    site: str | None
    links: dict[str, str]


def visible(packages: Path | None) -> View:
    """Return the allow-list for the interpreter that runs this server, without what is installed beside it.

    In a virtual environment that is the interpreter it was made from: environments themselves are never visible.
    """
    prefixes = [Path(p) for p in dict.fromkeys(("/usr", "/usr/local", sys.base_prefix, sys.base_exec_prefix))]
    trees = [prefix / name for prefix in prefixes for name in TREES]
    # An old system without merged /usr has these beside /usr; where they are links they are made again inside.
    trees += [tree for name in TREES if (tree := Path("/", name)).is_dir() and not tree.is_symlink()]
    trees = [tree for tree in trees if tree.is_dir() and not _inside_another(tree, trees)]
    binds = [(str(tree), str(tree)) for tree in dict.fromkeys(trees)]
    linker_cache = "/etc/ld.so.cache"
    if Path(linker_cache).exists():
        binds.append((linker_cache, linker_cache))
    if packages is not None:
        binds.append((str(packages), SITE))
    executable = getattr(sys, "_base_executable", None) or sys.executable
    masks = [*_masks(prefixes, trees), *_sockets(trees)]
    return View(executable, binds, masks, SITE if packages is not None else None, _links(trees))


def _links(trees: list[Path]) -> dict[str, str]:
    """Links in /etc into these trees: of the host's own /etc they tell only which of several commands is meant."""
    links = {
        "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
        "/etc/mtab": "/proc/self/mounts",
        "/etc/os-release": "/usr/lib/os-release",
    }
    if ALTERNATIVES.is_dir():
        for link in ALTERNATIVES.iterdir():  # `awk`, `vi` and others in /usr/bin lead there
            if link.is_symlink() and _inside_another(link.readlink(), trees):
                links[str(link)] = str(link.readlink())
    return links


def _inside_another(tree: Path, trees: list[Path]) -> bool:
    return any(other in tree.parents for other in trees)


def _sockets(trees: list[Path]) -> list[str]:
    """Sockets of programs that are running now: neither a read-only mount nor Landlock before Linux 7.1 bars them."""
    lines = Path("/proc/net/unix").read_bytes().split(b"\n")  # nothing else ends one: names can hold any other byte
    columns = [line.split(maxsplit=7) for line in lines]  # the last is the path as it was bound, @... if it is abstract
    bound = [os.fsdecode(names[7]) for names in columns if len(names) == 8 and names[7].startswith(b"/")]
    found = dict.fromkeys(Path(os.path.realpath(name)) for name in bound)
    return [str(path) for path in found if _inside_another(path, trees) and _is_socket(path)]


def _is_socket(path: Path) -> bool:
    """Tell whether it still is one: any user can bind a name, and then have it lead to a file that scripts need."""
    try:
        return path.is_socket()
    except PermissionError:  # scripts have no more rights than we
        return False


def _masks(prefixes: list[Path], trees: list[Path]) -> list[str]:
    """Packages that belong to the server's interpreter, its virtual environment, and the folder it works in."""
    installed = [
        found
        for prefix in prefixes
        for library in ("lib", "lib64")
        for kind in ("site-packages", "dist-packages")
        for found in sorted(Path(prefix, library).glob(f"python*/{kind}"))
    ]
    own = [] if sys.prefix == sys.base_prefix else [Path(sys.prefix)]
    own += [Path.cwd(), Path(__file__).parent, Path(airlock.__file__).parent]
    standard_library = Path(getattr(sys, "_stdlib_dir", None) or sys.base_prefix)
    return [
        str(path)
        for path in dict.fromkeys([*installed, *own])
        if any(tree in path.parents for tree in trees) and path not in (standard_library, *standard_library.parents)
    ]
