"""What a process for one script does once its layers are in place."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from . import codec, ending, script, sdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .codec import Channel
    from .reached import Reached

CHANNEL_LOST = 70  # exit code when the script closed the frame socket
CPU_SLACK = 2  # seconds
SIGNAL = signal.SIGRTMAX  # asks where a script is; CPython, libc and the kernel send none of it
PATIENCE = 0.2  # seconds that the process has to write and die; it takes a millisecond, and more on a busy machine


def tell_on_signal() -> None:
    """Have SIGNAL write the stacks of all threads to descriptor 2, and then end the process. Forks inherit that.

    It is done in C (`faulthandler`), so it works in the middle of a long call as well. A script can prevent it, or
    write whatever it likes instead: nothing but a message may depend on it.
    """
    faulthandler.register(SIGNAL, file=2, all_threads=True, chain=True)


def warm_up(channel: Channel, reached: Reached) -> None:
    """Run an empty script, to load again what the layers dropped from this process; have SIGINT interrupt the next."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    script.run({"code": "print", **sdk.EMPTY_JOB}, channel, reached, "<warm-up>")
    reached.look_at_end()


def wait_and_run(channel: Channel, reached: Reached, cores: int) -> NoReturn:
    """Wait for the job, run it, send END, and exit."""
    try:
        _, job = channel.receive()
        limit_cpu(job["timeout"], cores)
        run(job, channel, reached)
    finally:
        os._exit(CHANNEL_LOST)


def run(job: Mapping[str, Any], channel: Channel, reached: Reached) -> NoReturn:
    """Run the job and what CPython does at the end, send END, and exit. A child that the script forked just exits."""
    code, owner = CHANNEL_LOST, os.getpid()
    try:
        end = script.run(job, channel, reached)
        ending.finish(end, reached.look_at_end)
        if os.getpid() != owner:
            ending.leave(end["exit_code"])
        sdk.finish()
        channel.send(codec.END, end)
        code = 0
    finally:
        os._exit(code)  # no code of the script runs after END


def limit_cpu(timeout: int, cores: int) -> None:
    """Limit the CPU time of each process: a backstop to the clock, which is stopped while a script is paused."""
    seconds = timeout * cores + CPU_SLACK
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
