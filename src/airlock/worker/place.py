"""Has a script's process say where it is when Airlock is about to end it."""

from __future__ import annotations

import faulthandler
import signal

SIGNAL = signal.SIGRTMAX  # whose only use is this: CPython, libc and the kernel send none of it
PATIENCE = 0.05  # seconds that the process has to write and die; it takes a millisecond


def tell_on_signal() -> None:
    """Have SIGNAL write the stacks of all threads to descriptor 2, and then end the process. Forks inherit that.

    It is done in C (`faulthandler`), so it works in the middle of a long call as well. A script can prevent it, or
    write whatever it likes instead: nothing but a message may depend on it.
    """
    faulthandler.register(SIGNAL, file=2, all_threads=True, chain=True)
