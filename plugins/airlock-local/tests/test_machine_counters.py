"""The executions of a project together leave half of what the machine counts."""

from pathlib import Path
from typing import Any

import pytest

from airlock import Limits
from airlock.testing import missing
from airlock_local import cgroups


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make a machine with 32 768 processes, 20 000 threads and 1 000 000 files."""
    for name, value in zip(cgroups.COUNTERS, (32_768, 20_000, 1_000_000), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(cgroups, "SYSCTL", tmp_path)


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    ("files", "most"),
    [(16, 10_000), (256, 1953), (65_536, 8 * (64 + 100))],
    ids=["threads", "files", "too many files for all"],
)
def test_processes_of_a_project_leave_half_of_the_smallest_counter(files: int, most: int) -> None:
    assert cgroups.most_processes(Limits(max_replicas=64, max_paused=100, files=files)) == most


@pytest.mark.anyio
async def test_the_group_above_all_executions_of_a_project_has_this_bound(local: Any) -> None:
    groups = local.backend._groups
    if groups is None or "pids" not in groups.controllers:
        missing("cgroup", local.backend.isolation)
    [base] = [base for base in groups._bases if "pids" in base.controllers]
    most = cgroups.most_processes(local.backend.project.limits)
    assert most <= int(Path("/proc/sys/kernel/pid_max").read_text()) // 2
    assert (base.directory / "pids.max").read_text() == f"{most}\n"
