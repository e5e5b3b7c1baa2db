"""The attacks on the system call filter can fail: they succeed with a filter that is made as it must not be."""

import ctypes
import errno
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airlock.sandbox import seccomp
from airlock.testing.attacks.arena import Arena
from airlock.testing.attacks.causes import TrueCauses
from airlock.testing.attacks.kernel import Kernel

pytestmark = pytest.mark.anyio

Attack = Callable[[Any, Any], Awaitable[None]]
CACHESTAT = 451


async def fails(attack: Attack, local: Any, suite: Arena | None = None) -> bool:
    try:
        await attack(suite or Kernel(), local)
    except AssertionError:
        return True
    return False


async def test_a_rule_that_compares_64_bits_is_evaded(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = Kernel.test_no_rule_is_evaded_by_bits_that_the_kernel_does_not_read
    assert not await fails(attack, await make_local())
    monkeypatch.setattr(seccomp, "INT", 0xFFFF_FFFF_FFFF_FFFF)
    assert await fails(attack, await make_local())


@pytest.mark.parametrize("name", ["setsockopt", "fcntl", "ioctl", "setxattr", "fsync", "madvise"])
async def test_a_rule_that_is_missing_is_found(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    left = [rule for rule in seccomp.ARGUMENT_RULES if rule.call != name]
    real = seccomp.ARGUMENT_RULES
    monkeypatch.setattr(seccomp, "ARGUMENT_RULES", left)
    local = await make_local(isolation="reduced")  # the self-test finds some of them
    monkeypatch.setattr(seccomp, "ARGUMENT_RULES", real)
    assert await fails(Kernel.test_no_rule_is_evaded_by_bits_that_the_kernel_does_not_read, local)


@pytest.mark.parametrize("name", ["clone", "fcntl", "kill", "prctl"])
async def test_a_script_can_forge_the_signal_of_a_limit_by_each_call_that_the_filter_lets_pass(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = seccomp.ARGUMENT_RULES
    left = [rule for rule in real if rule.call != name or signal.SIGXFSZ not in rule.conditions[-1]]
    assert len(left) == len(real) - 1
    monkeypatch.setattr(seccomp, "ARGUMENT_RULES", left)
    attack = TrueCauses.test_a_script_cannot_say_that_it_reached_the_largest_size_of_a_file
    assert await fails(attack, await make_local(), TrueCauses())


async def test_a_call_later_than_the_filter_is_reached_without_its_bound(
    make_local: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(CACHESTAT, -1, 0, 0, 0)
    if ctypes.get_errno() == errno.ENOSYS:
        pytest.skip("this kernel has no call that the filter does not know")
    attack = Kernel.test_calls_that_the_filter_does_not_know_do_not_exist
    assert not await fails(attack, await make_local())
    monkeypatch.setattr(seccomp, "_unknown_numbers", lambda: b"")
    assert await fails(attack, await make_local())
