"""Installs a project's packages, outside the sandbox: one directory per set, shared by all projects and servers.

Beside each directory lies a lock: whoever uses it holds that shared, whoever makes or removes it exclusively. So two
servers build a set once, and nobody removes what another one uses.
"""

from __future__ import annotations

import asyncio
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

if TYPE_CHECKING:
    from airlock import Project

log = logging.getLogger(__name__)

KEEP_SETS: Final = 20  # at most; the ones that were used last
KEEP_DAYS: Final = 30
LOCK_INTERVAL: Final = 0.2  # seconds
SAID: Final = 1500  # characters of uv's message that an operator is shown


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
    """Return where sets of packages are kept, below $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airlock" / "packages"


def set_name(packages: tuple[str, ...]) -> str:
    """Return the name of a set: the same for the same packages under the same interpreter, in any order."""
    key = [sys.version, platform.machine(), platform.libc_ver(), sys.base_prefix, sorted(packages)]
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
    from uv import find_uv_bin  # noqa: PLC0415 - looks for the program at import

    log.info("project %s: installing %s", project.name, ", ".join(project.packages))
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    command = [find_uv_bin(), "pip", "install", "--no-progress", "--color=never", "--only-binary=:all:"]
    command += [f"--python={sys.executable}", f"--target={temporary}", "--", *project.packages]
    try:
        said = await _run(project, command)
        if said is not None:
            raise BackendUnavailable(
                f"The packages of project {project.name} cannot be installed: {said}",
                "Correct `packages`, or what this says; only wheels are installed, nothing is built.",
            )
        await asyncio.to_thread(_publish, temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


async def _run(project: Project, command: list[str]) -> str | None:
    """Run uv with its lines going to the log; returns None, or what it said if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "VIRTUAL_ENV": ""},
    )
    assert process.stderr is not None
    lines = []
    try:
        async for line in process.stderr:
            lines.append(line.decode(errors="replace").strip())
            log.info("project %s: uv: %s", project.name, lines[-1])
        failed = await process.wait() != 0
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    return " ".join(lines)[-SAID:] if failed else None


def _publish(temporary: Path, final: Path) -> None:
    """Let the throw-away user read it, whatever the server's umask is, and give it its name."""
    temporary.chmod(0o755)
    for path in temporary.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    temporary.rename(final)


def _no_place(cache: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        f"Packages cannot be kept in {cache}: {error.strerror}.", "Free it, or set XDG_CACHE_HOME to another folder."
    )
