"""Whether there is a sandbox at all: without one, the attacks would damage the machine that runs them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airlock.backends import PooledBackend
from airlock.testing.running import RunningPool

if TYPE_CHECKING:
    from collections.abc import Iterator


Pool = RunningPool[PooledBackend[Any]]

HARM: Final = """
import os
for harm in (lambda: os.unlink({file!r}), lambda: os.kill({process}, 9)):
    try:
        harm()
    except OSError:
        pass
"""


class Canaries(NamedTuple):
    """Harmless targets for a script: no sandbox lets it reach them."""

    file: Path
    process: subprocess.Popen[bytes]

    def harm(self) -> str | None:
        """Say what the script did to them; None if they are unharmed. Call it once."""
        if not self.file.exists():
            return f"removed {self.file}, a file of this machine"
        said, _ = self.process.communicate(b"\n")  # a killed process says nothing more
        return None if said else "killed a process of this machine"


@contextmanager
def canaries() -> Iterator[Canaries]:
    """Place them on this machine, where attacks would do harm."""
    with tempfile.NamedTemporaryFile(prefix="airlock-canary-", delete=False) as file:
        path = Path(file.name)
    command = [sys.executable, "-I", "-S", "-c", "input(); print('alive')"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Canaries(path, process)
        finally:
            path.unlink(missing_ok=True)
            process.kill()


async def harm_of(pool: Pool) -> str | None:
    """Let a script attack canaries, and return what it did to them."""
    with canaries() as sent_after:
        await pool.run(HARM.format(file=str(sent_after.file), process=sent_after.process.pid))
        return sent_after.harm()
