"""What a contract asks only of plugins that claim it. What a class declares itself need not be claimed again."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Test = TypeVar("Test", bound=Callable[..., object])

BACKEND_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_network": "a script reaches neither this machine nor any other over the network",
        "private_tmp": "files that a script leaves in /tmp are not there for the next one",
        "streams_output": "output can be seen while the script still runs",
        "subprocesses": "a script may fork and start programs; their output is captured and they end with it",
    }
)

MEDIATOR_CAPABILITIES: Final[Mapping[str, str]] = MappingProxyType(
    {"asks_agent": "each request is put to the agent, and the agent's answer is the mediator's"}
)


def needs(*requirements: str) -> Callable[[Test], Test]:
    """Mark a test of a contract: `runs_code`, `limits.NAME` for what must be in `enforces`, or a capability."""

    def mark(test: Test) -> Test:
        test.__dict__["needs"] = requirements
        return test

    return mark
