"""Labels the containers of each server, so that the next one can remove what a killed server left.

A lock on a file says that its server lives: the kernel drops it with the server, whatever killed that. The name of the
file is the label of its containers. So a sweep removes only containers of dead servers of this user, and leaves those
of other Airlocks on the same daemon alone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airlock import BackendUnavailable

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger(__name__)

LABEL: Final = "airlock.instance"


def state_directory() -> Path:
    """Return where the locks are, below $XDG_STATE_HOME or ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "airlock" / "docker"


class Instance:
    """One pool of one server."""

    def __init__(self, host: str) -> None:
        """Raises BackendUnavailable when the lock cannot be made. `host` is the daemon that has the containers."""
        directory = state_directory()
        self.name = secrets.token_hex(8)
        self._path = directory / self.name
        self._count = 0
        self._first = secrets.randbelow(1 << 16)  # so that servers beside each other use other uids
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.write(self._lock, host.encode())
        except OSError as error:
            raise not_writable(directory, error) from error

    @property
    def labels(self) -> dict[str, str]:
        """What its containers are labelled with."""
        return {LABEL: self.name}

    def next_name(self) -> str:
        """Return the name for one more container."""
        self._count += 1
        return f"airlock-{self.name}-{self._count}"

    def next_uid(self, first: int, count: int) -> int:
        """Return the uid for the container that `next_name` named: one of `count`, from `first` on, in turn."""
        return first + (self._first + self._count) % count

    def close(self, *, is_clean: bool) -> None:
        """Let go; if not clean, the next start sweeps what is left."""
        if is_clean:
            self._path.unlink(missing_ok=True)
        os.close(self._lock)


def not_writable(directory: Path, error: OSError) -> BackendUnavailable:
    """Say that this server cannot note its containers."""
    return BackendUnavailable(
        f"The folder {directory}, in which Airlock notes its containers, cannot be written: {error.strerror}.",
        "Let this user write it, or set XDG_STATE_HOME to another folder.",
    )


async def sweep(engine: Engine) -> None:
    """Remove the containers of dead servers of this user on this daemon.

    Raises BackendUnavailable when the daemon cannot be asked.
    """
    directory = state_directory()
    for path in directory.iterdir() if directory.is_dir() else ():
        try:
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another server was quicker
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.read(lock, 4096).decode() != engine.host:
                continue  # another daemon's, or a server is just making it
            left = await engine.labelled(f"{LABEL}={path.name}")
            for container in left:
                await engine.remove(container)
            path.unlink(missing_ok=True)
            log.info("removed leftovers of a killed server: %d containers", len(left))
        except BlockingIOError:
            continue  # its server lives
        finally:
            os.close(lock)
