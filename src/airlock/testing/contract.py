"""What all contracts share: the event loop, garbage, what is skipped, and that no test is left out unnoticed."""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

import pytest

from airlock.plugins import BACKEND, ClassKind, PluginError, check_made

T = TypeVar("T")

FIRST: Final = "test_core_takes_the_class"

PROMISED_KILL: Final = 2.0  # seconds within which a cancelled call must end: docs/plugins.md
SLOW_MACHINE: Final = 1.0  # seconds more on a busy machine

POST_MORTEM: Final = ("last_type", "last_value", "last_traceback", "last_exc")


class Contract:
    """Base of the contracts. Tests of a contract may be overridden only as `pytest.mark.xfail(reason=...)`."""

    kind: ClassVar[ClassKind[Any]] = BACKEND
    known_capabilities: ClassVar[Mapping[str, str]] = MappingProxyType({})
    capabilities: ClassVar[frozenset[str]] = frozenset()

    _kill_patience: ClassVar[float] = PROMISED_KILL + SLOW_MACHINE
    """Only the tests of this contract itself reduce it, for calls that never end."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuse a test class that claims an unknown capability, or leaves out a test without a reason."""
        super().__init_subclass__(**arguments)
        if unknown := cls.capabilities - set(cls.known_capabilities):
            known = ", ".join(cls.known_capabilities)
            raise TypeError(f"{cls.__name__}.capabilities: {', '.join(sorted(unknown))}: unknown; known: {known}")
        if cls.__module__.startswith(__package__):
            return
        for name, test in vars(cls).items():
            if name.startswith("test") and _is_of_contract(cls, name) and not _is_excused(test):
                raise TypeError(
                    f"{cls.__name__}.{name} replaces a test of the contract; if it cannot pass, override it with"
                    " @pytest.mark.xfail(reason=...) and call the original"
                )

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run async tests on asyncio, which Airlock requires."""
        return "asyncio"

    @pytest.fixture(autouse=True)
    def leave_no_garbage(self) -> Iterator[None]:
        """Collect garbage after each test."""
        with collected():
            yield

    @pytest.fixture
    async def leave_no_garbage_to_a_closed_loop(self, leave_no_garbage: None) -> AsyncIterator[None]:
        """Collect garbage before the event loop is closed."""
        del leave_no_garbage
        yield
        collect()

    @pytest.fixture(autouse=True)
    def keep_the_loop_open(self, request: pytest.FixtureRequest) -> None:
        """Use `leave_no_garbage_to_a_closed_loop` in async tests."""
        if inspect.iscoroutinefunction(request.function):
            request.getfixturevalue("leave_no_garbage_to_a_closed_loop")

    @pytest.fixture(autouse=True)
    def say_where_it_is_documented(self, request: pytest.FixtureRequest) -> None:
        """Let pytest print with a failure where the expected behaviour is documented."""
        place = f"docs/plugins.md, {self.kind.section}; help(airlock.{self.kind.base.__name__})"
        request.node.add_report_section("setup", "contract", f"This test is part of Airlock's contract: see {place}")

    def make(self, directory: Path) -> object:
        """Return a new instance of the tested class, for inspection."""
        raise NotImplementedError

    def test_core_takes_the_class(self, tmp_path: Path) -> None:
        if refusal := self._refusal(tmp_path):
            pytest.fail(f"Airlock refuses the plugin: {refusal}", pytrace=False)

    @pytest.fixture(autouse=True)
    def skip_what_is_not_promised(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        """Skip tests whose needs the plugin does not claim, and all other tests of a plugin that core refuses."""
        if request.function.__name__ != FIRST and not self._is_taken(tmp_path):
            pytest.skip(f"{FIRST} fails: see there")
        for requirement in getattr(request.function, "needs", ()):
            if reason := self.why_not(requirement):
                pytest.skip(reason)

    def _is_taken(self, directory: Path) -> bool:
        with contextlib.suppress(Exception):  # FIRST reports it
            return self._refusal(directory) is None
        return False

    def _refusal(self, directory: Path) -> str | None:
        made = self.make(directory)
        try:
            self.kind.check(type(made))
            check_made(made)
        except (PluginError, TypeError) as error:
            return str(error)
        return None

    def why_not(self, requirement: str) -> str | None:
        """Say why a requirement is not met, or None when it is."""
        if requirement in self.capabilities:
            return None
        return f"capability {requirement!r} is not claimed: {self.known_capabilities[requirement]}"


@contextlib.contextmanager
def collected() -> Iterator[None]:
    """Collect the block's garbage at its end, and none before.

    Transports that were not closed raise if they are collected after their event loop was closed. While pytest parses
    the source of a failed test, that would end the whole run.
    """
    was_enabled = gc.isenabled()
    gc.freeze()  # older objects need not be examined
    gc.disable()
    try:
        yield
    finally:
        collect()
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Collect a test's garbage, including what only its failure keeps alive: at teardown it has been reported.

    The frames of the failure are released, not cleared: one of them belongs to the task in which anyio runs all tests
    of a class, and clearing it would end that task under the following tests.
    """
    for name in POST_MORTEM:
        vars(sys).pop(name, None)
    gc.collect()


async def no_exit(call: Awaitable[T], name: str) -> T:
    """Await a plugin's call. SystemExit, which would end pytest, fails the test."""
    try:
        return await call
    except SystemExit as error:
        raise AssertionError(f"{name}() raised SystemExit({error.code}): no plugin may end the server") from error


def _is_of_contract(cls: type, name: str) -> bool:
    return any(name in vars(base) and base.__module__.startswith(__package__) for base in cls.__mro__[1:])


def _is_excused(test: Callable[..., object]) -> bool:
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
