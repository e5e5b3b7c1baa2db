"""A pool's directory in the temporary folder, and what a server that was killed left there and in cgroups.

A lock says that its server lives: the kernel drops it with the server, whatever killed that. So what is swept is
certainly ours and dead, also when process ids were used again or lie in another container.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Final

from airlock import BackendUnavailable

from . import hierarchies

log = logging.getLogger(__name__)

PREFIX: Final = "airlock-local-"
LOCK: Final = "lock"
MOUNT_POINTS: Final = ("stage", "root")  # see sandbox/box_root.py


class RunDirectory:
    """Holds the mount points of one pool's boxes, and the names of its cgroups for whoever has to sweep them."""

    def __init__(self) -> None:
        """Raises BackendUnavailable, with the remedy, when it cannot be made."""
        self._locks: list[int] = []
        self.path = self._make()
        self.name = self.path.name  # of the cgroups: they stay what they are when it is made again
        self._lock()

    def renew(self) -> None:
        """Make it again, somewhere else, if somebody removed it or a part of it. Raises as the constructor does."""
        if all((self.path / name).exists() for name in (*MOUNT_POINTS, LOCK)):
            return
        log.warning("%s was removed and is created again; have whatever cleans up there spare %s*", self.path, PREFIX)
        self.close()
        self.path = self._make()
        self._lock()

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        while self._locks:
            os.close(self._locks.pop())

    def _make(self) -> Path:
        try:
            path = Path(tempfile.mkdtemp(prefix=PREFIX))
            path.chmod(0o755)  # the throw-away user goes through it
            for name in MOUNT_POINTS:
                (path / name).mkdir(mode=0o755)
        except OSError as error:
            raise BackendUnavailable(
                f"No folder for sandboxes can be made: {error}.",
                "Mend that, or set TMPDIR to another folder before Airlock is started.",
            ) from error
        return path

    def _lock(self) -> None:
        # A lock on a directory says "in use" to systemd-tmpfiles, which cleans /tmp up: see tmpfiles.d(5).
        self._locks.append(os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        fcntl.flock(self._locks[0], fcntl.LOCK_SH)
        self._locks.append(os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        fcntl.flock(self._locks[1], fcntl.LOCK_EX)
        os.write(self._locks[1], json.dumps([str(place) for place in hierarchies.places(self.name)]).encode())


def sweep() -> None:
    """Remove what dead servers of this user left."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            _sweep_one(path)
        except OSError as error:
            log.warning("cannot remove leftovers of a killed server in %s: %s", path, error)


def _sweep_one(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # another server is just making it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        places = os.read(lock, 1 << 16)
        if not places:
            return  # another server is just making it
        if not hierarchies.sweep(Path(place) for place in json.loads(places)):
            return  # the next start tries again
        shutil.rmtree(path)
        log.info("removed leftovers of a killed server: %s", path)
    except BlockingIOError:
        return  # its server lives
    finally:
        os.close(lock)
