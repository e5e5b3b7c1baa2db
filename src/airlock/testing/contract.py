"""What both contracts share: the event loop, what is skipped, and that nothing is left out quietly."""

from __future__ import annotations

import gc
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from airlock.contracts import CONTRACTS, Kind, PluginError, check

from .garbage import collected


class Contract:
    """Base of the contracts. A test of a contract may be overridden only as `pytest.mark.xfail(reason=...)`."""

    kind: ClassVar[Kind] = "backend"
    known_capabilities: ClassVar[Mapping[str, str]] = MappingProxyType({})
    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuse a test class that claims what does not exist, or leaves out a test without saying why."""
        super().__init_subclass__(**arguments)
        if unknown := cls.capabilities - set(cls.known_capabilities):
            known = ", ".join(cls.known_capabilities)
            raise TypeError(f"{cls.__name__}.capabilities: {', '.join(sorted(unknown))}: unknown; known: {known}")
        if cls.__module__.startswith(__package__):
            return
        for name, test in vars(cls).items():
            if name.startswith("test") and _is_of_contract(cls, name) and not _is_excused(test):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a test of the contract; what cannot pass is marked with"
                    " @pytest.mark.xfail(reason=...) and calls the original"
                )

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run async tests on asyncio: Airlock is written for it."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def leave_no_garbage(self) -> Iterator[None]:
        """Collect what a test leaves behind."""
        with collected():
            yield

    @pytest.fixture
    async def leave_no_garbage_to_a_closed_loop(self, leave_no_garbage: None) -> AsyncIterator[None]:
        """Collect what can be collected while the event loop is open."""
        del leave_no_garbage
        yield
        gc.collect()

    @pytest.fixture(autouse=True)
    def keep_the_loop_open(self, request: pytest.FixtureRequest) -> None:
        """Do that for the tests that have a loop."""
        if inspect.iscoroutinefunction(request.function):
            request.getfixturevalue("leave_no_garbage_to_a_closed_loop")

    @pytest.fixture(autouse=True)
    def say_where_it_is_documented(self, request: pytest.FixtureRequest) -> None:
        """Have pytest print, with a failure, where the author can read what was expected."""
        contract = CONTRACTS[self.kind]
        place = f"docs/plugins.md, {contract.section}; help(airlock.{contract.base.__name__})"
        request.node.add_report_section("setup", "contract", f"This test is part of Airlock's contract: see {place}")

    def check_class(self, cls: type) -> None:
        """Fail when core would not take this class."""
        try:
            check(cls, CONTRACTS[self.kind])
        except PluginError as error:
            pytest.fail(f"Airlock refuses the plugin: {error}", pytrace=False)

    @pytest.fixture(autouse=True)
    def skip_what_is_not_promised(self, request: pytest.FixtureRequest) -> None:
        """Skip a test that needs what the plugin does not claim."""
        for requirement in getattr(request.function, "needs", ()):
            if reason := self.why_not(requirement):
                pytest.skip(reason)

    def why_not(self, requirement: str) -> str | None:
        """Say why a requirement is not met, or None when it is."""
        if requirement in self.capabilities:
            return None
        return f"capability {requirement!r} is not claimed: {self.known_capabilities[requirement]}"


def _is_of_contract(cls: type, name: str) -> bool:
    return any(name in vars(base) and base.__module__.startswith(__package__) for base in cls.__mro__[1:])


def _is_excused(test: Callable[..., object]) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
