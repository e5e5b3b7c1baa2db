"""What a contract tests only if a test class claims it. A plugin's own declarations need not be claimed again."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Test = TypeVar("Test", bound=Callable[..., object])

BACKEND_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "exit_codes": "an outcome has the exit code of a script that ended by itself, or by a signal",
        "loopback": "servers and clients of one script meet on 127.0.0.1 and ::1, and attempts to leave are named",
        "no_network": "a script can reach neither this machine nor any other over the network",
        "partial_results": "what a script has reported is not lost when it is cancelled, crashes or exceeds a limit",
        "place": "where a script was when a timeout or a cancellation ended it is told, by `run.note` and on stderr",
        "private_tmp": "the next script does not see files that a script leaves in /tmp",
        "python_main": "a script runs like `python main.py`: that file in /workspace, CPython's streams and its end",
        "sizes": "libraries that ask for the size of the machine find the limits of one execution",
        "streams_output": "output is available while the script still runs",
        "subprocesses": "a script may fork and start programs; their output is captured, and they end with the script",
        "surroundings": "a script has a name, UTC, terminals and what else programs look for in /etc and /dev",
    }
)

MEDIATOR_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {"asks_agent": "each request goes to the agent, and the mediator returns the agent's answer"}
)


def needs(*requirements: str) -> Callable[[Test], Test]:
    """Mark what a test needs: `runs_code`, `limits.NAME` (of `enforces`), `uses.KEY` (of `uses`), or a capability."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = requirements
        return test

    return mark
