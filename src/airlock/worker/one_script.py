"""What a process for one script does once its layers are in place."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, NoReturn

from . import codec, script, sdk

if TYPE_CHECKING:
    from .codec import Channel
    from .reached import Reached

CHANNEL_LOST = 70  # exit code when the script closed the frame socket
CPU_SLACK = 2  # seconds


def warm_up(channel: Channel, reached: Reached) -> None:
    """Run an empty script, to load again what the layers dropped from this process."""
    script.run({"code": "print", **sdk.EMPTY_JOB}, channel, reached)


def wait_and_run(channel: Channel, reached: Reached, cores: int) -> NoReturn:
    """Wait for the job, run it, send END, and exit."""
    code = CHANNEL_LOST
    try:
        _, job = channel.receive()
        limit_cpu(job["timeout"], cores)
        channel.send(codec.END, {"error": script.run(job, channel, reached)})
        code = 0
    finally:
        os._exit(code)  # no atexit, no __del__, no join: no code of the script runs after this


def limit_cpu(timeout: int, cores: int) -> None:
    """Limit the CPU time of each process: a backstop to the clock, which is stopped while a script is paused."""
    seconds = timeout * cores + CPU_SLACK
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
