"""Installs a project's packages, outside the sandbox: one directory per set, shared by all projects and servers.

Beside each directory lies a lock: whoever uses it holds that shared, whoever makes or removes it exclusively. So two
servers build a set once, and nobody removes what another one uses.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airlock import BackendUnavailable
from airlock.sandbox import install_packages

if TYPE_CHECKING:
    from airlock import Project

log = logging.getLogger(__name__)

KEEP_SETS: Final = 20  # at most; the ones that were used last
KEEP_DAYS: Final = 30
FORMAT: Final = 2  # of a set: with bytecode, and with commands that run inside
LOCK_INTERVAL: Final = 0.2  # seconds


@dataclass
class Site:
    """Installed packages in use. `close` says that they are not any more."""

    path: Path
    lock: int

    def close(self) -> None:
        """Allow others to remove it."""
        os.close(self.lock)


async def provide(project: Project) -> Site:
    """Return the directory with the project's packages; install them first if nobody did.

    Raises BackendUnavailable when that fails: no such package, no wheel for this interpreter, no network, no disk.
    """
    cache = cache_directory()
    path = cache / set_name(project.packages)
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _no_place(cache, error) from error
    try:
        await _lock(lock, fcntl.LOCK_SH)
        if not path.is_dir():
            await _lock(lock, fcntl.LOCK_EX)
            if not path.is_dir():
                await _install(project, path)
            # Nobody can remove it in between: only sets that were not used for long are removed.
            await _lock(lock, fcntl.LOCK_SH)
        os.utime(path)
        await asyncio.to_thread(remove_old, cache)
    except OSError as error:
        os.close(lock)
        raise _no_place(cache, error) from error
    except BaseException:
        os.close(lock)
        raise
    return Site(path, lock)


def cache_directory() -> Path:
    """Return where sets of packages are kept, below $XDG_CACHE_HOME or ~/.cache.

    Raises BackendUnavailable for a user without a home.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airlock" / "packages"
    except RuntimeError as error:
        raise BackendUnavailable(
            "The user who runs Airlock has no home folder to keep packages in.",
            "Set XDG_CACHE_HOME to a folder of that user's.",
        ) from error


def set_name(packages: tuple[str, ...]) -> str:
    """Return the name of a set: the same for the same packages under the same interpreter, in any order."""
    key = [FORMAT, sys.version, platform.machine(), platform.libc_ver(), sys.base_prefix, sorted(packages)]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def remove_old(cache: Path, *, keep_sets: int = KEEP_SETS, keep_days: float = KEEP_DAYS) -> None:
    """Remove what was not used for long, or is too much; never what is in use."""
    sets = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".")]
    sets.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    oldest = time.time() - keep_days * 86_400
    for rank, path in enumerate(sets):
        if rank >= keep_sets or path.stat().st_mtime < oldest:
            _remove_unused(path)


def _remove_unused(path: Path) -> None:
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        log.info("removing packages that were not used for long: %s", path)
        shutil.rmtree(path)
    except BlockingIOError:
        return  # in use
    finally:
        os.close(lock)


async def _lock(descriptor: int, kind: int) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                log.info("waiting for another server that installs the same packages")
                told = True
            await asyncio.sleep(LOCK_INTERVAL)
        else:
            return


async def _install(project: Project, path: Path) -> None:
    """Install into a temporary directory beside it, then rename: a set is complete or not there."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        await install_packages(project, temporary, f"--python={sys.executable}", "--compile-bytecode")
        await asyncio.to_thread(temporary.rename, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _no_place(cache: Path, error: OSError) -> BackendUnavailable:
    need = (
        "Make room there"
        if error.errno in (errno.ENOSPC, errno.EDQUOT)
        else "Let the user who runs Airlock write there"
    )
    return BackendUnavailable(
        f"Packages cannot be kept in {cache}: {error.strerror}.", f"{need}, or set XDG_CACHE_HOME to another folder."
    )
