"""Measures what redaction of secrets costs: CPU time per MiB of output, and for a result of 1 MiB.

    .venv/bin/python benchmarks/redaction.py [--rounds 5] [--secrets 20]

Prints a Markdown table: medians over the rounds.
"""

from __future__ import annotations

import argparse
import base64
import random
import secrets
import statistics
import time
from typing import TYPE_CHECKING

from airlock.running.output import Output
from airlock.secrets.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
SIZES = {"one write": MIB, "64 KiB writes": 64 << 10, "writes of 80 bytes": 80, "the same, read after each": 80}


def log_lines() -> bytes:
    lines = (f"2026-01-01 12:00:00 INFO request {n} took {random.random()} s\n" for n in range(25_000))
    return "".join(lines).encode()[:MIB]


def cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def write(output: Output, data: bytes, size: int, *, read: bool) -> None:
    for at in range(0, len(data), size):
        output.write(data[at : at + size])
        if read:
            output.read(at, size)
    output.finish()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secrets", type=int, default=20)
    options = parser.parse_args()
    values = [secrets.token_urlsafe(random.choice((12, 24, 32, 48))) for _ in range(options.secrets)]
    redactor, none = Redactor(values), Redactor()
    contents = {
        "log lines": log_lines(),
        "base64": base64.b64encode(random.randbytes(MIB))[:MIB],
        "nothing but secrets": " ".join(random.choices(values, k=MIB // 16)).encode()[:MIB],
    }
    print(f"| ms of CPU time per MiB, {options.secrets} secrets | redacted | without secrets |")
    print("|---|---|---|")
    for content, data in contents.items():
        for way, size in SIZES.items():
            figures = [
                statistics.median(
                    cpu_ms(lambda: write(Output(MIB, each.stream()), data, size, read="read" in way))  # noqa: B023 - called at once
                    for _ in range(options.rounds)
                )
                for each in (redactor, none)
            ]
            print(f"| {content}, {way} | {figures[0]:.1f} | {figures[1]:.1f} |")
    results: dict[str, object] = {
        "a result without a secret": {"rows": ["abcdef"] * (MIB // 9)},
        "a result of small texts and one secret": {"rows": ["abcdef"] * (MIB // 9), "key": values[0]},
        "a result of nothing but secrets": random.choices(values, k=MIB // 45),
    }
    for name, value in results.items():
        figures = [
            statistics.median(cpu_ms(lambda: each.value(value)) for _ in range(options.rounds))  # noqa: B023 - called at once
            for each in (redactor, none)
        ]
        print(f"| {name} | {figures[0]:.1f} | {figures[1]:.1f} |")
    making = statistics.median(cpu_ms(lambda: Redactor(values)) for _ in range(options.rounds))
    print(f"| at startup, once per project | {making:.1f} | 0.0 |")


if __name__ == "__main__":
    main()
