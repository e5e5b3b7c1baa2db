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

from . import hierarchies

log = logging.getLogger(__name__)

PREFIX: Final = "airlock-local-"
LOCK: Final = "lock"


class RunDirectory:
    """Holds the mount points of one pool's boxes, and the names of its cgroups for whoever has to sweep them."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.path.chmod(0o755)  # the throw-away user goes through it
        for name in ("stage", "root"):
            (self.path / name).mkdir(mode=0o755)
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.name = self.path.name
        os.write(self._lock, json.dumps([str(place) for place in hierarchies.places(self.name)]).encode())

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Remove what dead servers of this user left."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            _sweep_one(path)
        except OSError as error:
            log.warning("cannot remove what a killed server left in %s: %s", path, error)


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
        log.info("removed what a killed server left: %s", path)
    except BlockingIOError:
        return  # its server lives
    finally:
        os.close(lock)
