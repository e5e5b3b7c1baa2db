"""What a project could take of the machine is compared with what the machine has."""

from pathlib import Path

import pytest

from airlock.backends import Limits
from airlock.sandbox import budgets


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a machine with 1000 processes and 10 000 files."""
    (tmp_path / "kernel").mkdir()
    (tmp_path / "fs").mkdir()
    (tmp_path / "kernel/pid_max").write_text("1000\n")
    (tmp_path / "kernel/threads-max").write_text("1000\n")
    (tmp_path / "fs/file-max").write_text("10000\n")
    monkeypatch.setattr(budgets, "SYSCTL", tmp_path)
    return tmp_path


def test_a_project_that_leaves_half_of_all_is_not_named(machine: Path) -> None:
    assert budgets.over_budget(Limits(max_replicas=3, max_paused=7, processes=20, files=25)) == []


def test_paused_executions_count_too(machine: Path) -> None:
    assert len(budgets.over_budget(Limits(max_replicas=3, max_paused=8, processes=20, files=25))) == 1


def test_an_operator_reads_what_to_raise_and_what_to_lower(machine: Path) -> None:
    first, _, third = budgets.over_budget(Limits(max_replicas=3, max_paused=7, processes=51, files=25))
    assert first == (
        "its scripts could together use 510 of kernel.pid_max, which is 1000: "
        "raise it with 'sysctl -w kernel.pid_max=1020', "
        "or lower limits.max_replicas, limits.max_paused, limits.processes"
    )
    assert "12750 of fs.file-max, which is 10000: raise it with 'sysctl -w fs.file-max=25500', or lower" in third


def test_no_operator_is_told_to_set_what_the_kernel_does_not_take(machine: Path) -> None:
    pids, threads, _ = budgets.over_budget(Limits(max_replicas=64, max_paused=100, processes=32_768))
    assert "which is 1000: lower limits.max_replicas" in pids
    assert "sysctl -w kernel.threads-max=" in threads


def test_this_machine_can_be_asked() -> None:
    assert budgets.over_budget(Limits(max_replicas=1, max_paused=0, processes=1, files=16)) == []
    assert budgets.over_budget(Limits(processes=32_768)) != []  # kernel.pid_max is at most 4 million
