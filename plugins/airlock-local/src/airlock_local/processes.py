"""Waiting for processes by pidfd: never by end of file, which a descendant can hold back."""

from __future__ import annotations

import asyncio
import signal


def kill(pidfd: int) -> None:
    """Kill, if it still lives. Pid 1 of a pid namespace takes all processes of the namespace with it."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return


async def wait_dead(pidfd: int, within: float) -> bool:
    """Wait for the end of a process, but not longer than `within` seconds; returns whether it ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(within):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    return True
