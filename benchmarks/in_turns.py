"""Runs a script that times itself in a sandbox of the `local` backend and in plain CPython, in turns; shared code."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from airlock import Job
from airlock.testing import RecordingRun
from airlock_local.backend import LocalBackend, LocalSettings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from airlock import Project


async def compare(
    title: str,
    project: Project,
    code: str,
    other: str,
    run_plainly: Callable[[], subprocess.CompletedProcess[bytes]],
    rounds: int,
) -> None:
    """Print a table. The script writes its seconds to stderr; `other` names what `run_plainly` runs it in."""
    backend = LocalBackend(project, LocalSettings())
    samples: dict[str, list[float]] = {"sandbox": [], other: []}
    try:
        await backend.scale(1)
        for _ in range(rounds):
            run = RecordingRun()
            outcome = await backend.execute(Job(id="x", code=code, timeout=60), run)
            assert outcome.error is None, outcome
            samples["sandbox"].append(float(run.stderr))
            plain = run_plainly()
            samples[other].append(float(plain.stderr))
            assert run.output["stdout"] == plain.stdout
    finally:
        await backend.close()
    medians = {name: statistics.median(times) * 1e3 for name, times in samples.items()}
    print(f"| {title} | median (ms) | minimum (ms) |\n|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3g} | {min(samples[name]) * 1e3:.3g} |")
    print(f"\nratio of medians: {medians['sandbox'] / medians[other]:.2f}")
