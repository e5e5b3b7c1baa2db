"""What a signal does to a command that drives an execution."""

import asyncio
import signal


class Interruption:
    """Cancels the task that watches at the first signal; the next ones, and late ones, disturb no tidying up."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.is_ending = False

    def watch(self) -> None:
        """Have the current task cancelled."""
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            if not self.is_ending:  # once it is under way nothing may interrupt it; it is bounded
                self.received, self.is_ending = number, True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                asyncio.get_running_loop().add_signal_handler(number, stop, number)
