"""The filter as the kernel runs it: each call, with arguments around each rule, is decided as the tables say."""

import errno
import itertools
import platform
import struct

import pytest

from airlock.sandbox import seccomp, sockets

ALLOW, ASK, ERRNO, KILL = 0x7FFF_0000, 0x7FC0_0000, 0x0005_0000, 0x0000_0000
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
MASK = 0xFFFF_FFFF
HIGH_BITS = (0, 1 << 32, 1 << 63)
JUMPS = {0x05: None, 0x15: int.__eq__, 0x25: int.__gt__, 0x35: int.__ge__, 0x45: int.__and__}  # JA, JEQ, JGT, JGE, JSET


def run(program: list[tuple[int, int, int, int]], number: int, arguments: tuple[int, ...], architecture: int) -> int:
    """Run a classic BPF program on `struct seccomp_data`, see seccomp(2); returns what it returns."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments)
    accumulator, position = 0, 0
    while True:
        code, on_true, on_false, operand = program[position]
        position += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            accumulator &= operand
        elif code == 0x06:  # BPF_RET | BPF_K
            return operand
        else:
            compare = JUMPS[code]
            position += operand if compare is None else on_true if compare(accumulator, operand) else on_false


def instructions(program: bytes) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("=HBBI", program))


@pytest.fixture(scope="module")
def program() -> list[tuple[int, int, int, int]]:
    return instructions(seccomp.seccomp_program(("memfd_create",), internet="asked"))


def matches(condition: seccomp.Is | seccomp.Has | seccomp.Above, arguments: tuple[int, ...]) -> bool:
    value = arguments[condition.position]
    match condition:
        case seccomp.Is(_, wanted):
            return value & MASK == wanted & MASK
        case seccomp.Has(_, bits, without):
            return value & bits == bits and not value & without & MASK
        case seccomp.Above(_, least):
            return value > least


def expected(number: int, arguments: tuple[int, ...]) -> set[int]:
    """Return what may be answered to a call: several rules may refuse it, each with its own error."""
    refused = {seccomp.system_call(name) for name in (*seccomp.DENIED, "memfd_create")}
    if number in refused or number in seccomp.DENIED_BY_NUMBER.values():
        return {ERRNO | errno.EPERM}
    if number == seccomp.CLONE3 or number > seccomp.LATEST:
        return {ERRNO | errno.ENOSYS}
    if seccomp.LAST_OWN[platform.machine()] < number < seccomp.COMMON:
        return {ERRNO | errno.ENOSYS}
    return {
        ERRNO | rule.error
        for rule in seccomp.ARGUMENT_RULES
        if seccomp.system_call(rule.call) == number
        and all(matches(condition, arguments) for condition in rule.conditions)
    } or {ALLOW}


def values(condition: seccomp.Is | seccomp.Has | seccomp.Above) -> set[int]:
    """Return arguments around what a condition compares with, also with something in the upper half."""
    match condition:
        case seccomp.Is(_, wanted):
            near = {wanted & MASK, (wanted + 1) & MASK, (wanted - 1) & MASK}
        case seccomp.Has(_, bits, without):
            near = {bits, bits | without, bits & (bits - 1), MASK, MASK & ~without, bits >> 1}
        case seccomp.Above(_, least):
            near = {least, least + 1, least - 1, MASK}
    return {value | high for value in near | {0} for high in HIGH_BITS}


def test_every_call_without_arguments_is_decided_by_the_tables(program: list[tuple[int, int, int, int]]) -> None:
    own, nothing = ARCHITECTURES[platform.machine()], (0,) * 6
    for number in (*range(1024), 1 << 30, (1 << 30) + 59, MASK):
        assert run(program, number, nothing, own) in expected(number, nothing), number


@pytest.mark.parametrize("call", sorted({rule.call for rule in seccomp.ARGUMENT_RULES}))
def test_every_rule_decides_by_its_arguments(program: list[tuple[int, int, int, int]], call: str) -> None:
    own, number = ARCHITECTURES[platform.machine()], seccomp.system_call(call)
    if number < 0:
        pytest.skip("this architecture has no such call")
    around: dict[int, set[int]] = {}
    for rule in seccomp.ARGUMENT_RULES:
        if rule.call == call:
            for condition in rule.conditions:
                around.setdefault(condition.position, {0}).update(values(condition))
    for chosen in itertools.product(*around.values()):
        given = dict(zip(around, chosen, strict=True))
        arguments = tuple(given.get(position, 0) for position in range(6))
        assert run(program, number, arguments, own) in expected(number, arguments), [hex(given[n]) for n in given]


def test_calls_of_another_architecture_are_killed(program: list[tuple[int, int, int, int]]) -> None:
    i386 = 0x4000_0003
    assert run(program, 20, (0,) * 6, i386) == KILL


@pytest.mark.parametrize("internet", [ASK, ALLOW, ERRNO | errno.ENETUNREACH])
def test_every_socket_is_decided_by_family_type_and_protocol(internet: int) -> None:
    """With garbage in the upper halves, which the kernel does not read."""
    own, refusing = ARCHITECTURES[platform.machine()], seccomp.seccomp_program()
    known = {ASK: sockets.asking_program(), ALLOW: seccomp.seccomp_program(internet="allowed")}
    program = instructions(known.get(internet, refusing))
    families = (2, 10) if sockets.IPV6.exists() else (2,)
    for family, kind, protocol, high in itertools.product(
        range(50), range(16), (*range(20), 58, 132, 136, 262), HIGH_BITS[:2]
    ):
        arguments = (family | high, kind | 0o2004000 | high, protocol | high, 0, 0, 0)  # SOCK_CLOEXEC | SOCK_NONBLOCK
        answer = run(program, seccomp.system_call("socket"), arguments, own)
        if family in families and (kind, protocol) in ((1, 0), (1, 6), (2, 0), (2, 17)):
            assert answer == internet, arguments
        else:
            assert (answer == ALLOW) == (family == 1), arguments
            assert answer == ALLOW or answer & ~0xFF == ERRNO, arguments


def test_options_that_common_programs_set_are_allowed() -> None:
    own, program = ARCHITECTURES[platform.machine()], instructions(seccomp.seccomp_program())
    common = {
        1: (2, 3, 6, 9, 13, 15, 20, 21),  # SO_REUSEADDR, TYPE, BROADCAST, KEEPALIVE, LINGER, REUSEPORT, ..TIMEO
        6: (1, 3, 4, 5, 6, 9, 12, 18, 23),  # TCP_NODELAY, CORK, KEEP*, DEFER_ACCEPT, QUICKACK, USER_TIMEOUT, FASTOPEN
        0: (1, 2, 10, 11, 24, 33, 34),  # IP_TOS, TTL, MTU_DISCOVER, RECVERR, BIND_ADDRESS_NO_PORT, MULTICAST_*
        41: (16, 23, 25, 26, 49, 66, 67),  # IPV6_UNICAST_HOPS, MTU_DISCOVER, RECVERR, V6ONLY, RECVPKTINFO, *TCLASS
    }
    for level, options in common.items():
        for option in options:
            arguments = (3, level, option, 0, 4, 0)
            assert run(program, seccomp.system_call("setsockopt"), arguments, own) == ALLOW, arguments
