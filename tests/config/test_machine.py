"""What all projects could take of the machine is compared with what it has."""

from pathlib import Path

import pytest

from airlock.backends import Limits
from airlock.config.machine import over_budget


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make a machine with 1000 processes, 10 000 files and 80 pseudo-terminals."""
    (tmp_path / "kernel/pty").mkdir(parents=True)
    (tmp_path / "kernel/pty/max").write_text("80\n")
    (tmp_path / "fs").mkdir()
    (tmp_path / "kernel/pid_max").write_text("1000\n")
    (tmp_path / "kernel/threads-max").write_text("1000\n")
    (tmp_path / "fs/file-max").write_text("10000\n")
    monkeypatch.setattr("airlock.config.machine.SYSCTL", tmp_path)


@pytest.mark.usefixtures("_small")
def test_projects_that_leave_half_of_all_are_not_named() -> None:
    assert over_budget([Limits(max_replicas=3, max_paused=2, processes=30, files=16)] * 2) == []


@pytest.mark.usefixtures("_small")
def test_a_single_project_is_held_by_its_backend() -> None:
    assert over_budget([Limits(max_replicas=5, max_paused=5, processes=1000, files=1000)]) == []


@pytest.mark.usefixtures("_small")
def test_paused_executions_count_too() -> None:
    assert len(over_budget([Limits(max_replicas=3, max_paused=3, processes=50, files=16)] * 2)) == 4


@pytest.mark.usefixtures("_small")
def test_terminals_are_not_held_by_a_backend() -> None:
    (told,) = over_budget([Limits(max_replicas=5, max_paused=6, processes=1, files=16)])
    assert told == (
        "scripts could together use 44 of kernel.pty.max, which is 80: "
        "raise it with 'sysctl -w kernel.pty.max=88', or lower limits.max_replicas, limits.max_paused"
    )


@pytest.mark.usefixtures("_small")
def test_an_operator_reads_what_to_raise_and_what_to_lower() -> None:
    pids, _, files = over_budget([Limits(max_replicas=3, max_paused=2, processes=51, files=25)] * 2)
    assert pids == (
        "scripts could together use 510 of kernel.pid_max, which is 1000: "
        "raise it with 'sysctl -w kernel.pid_max=1020', "
        "or lower limits.max_replicas, limits.max_paused, limits.processes"
    )
    assert "12750 of fs.file-max, which is 10000: raise it with 'sysctl -w fs.file-max=25500', or lower" in files


@pytest.mark.usefixtures("_small")
def test_no_operator_is_told_to_set_what_the_kernel_does_not_take() -> None:
    pids, threads, *_ = over_budget([Limits(max_replicas=64, max_paused=100, processes=32_768)] * 2)
    assert "which is 1000: lower limits.max_replicas" in pids
    assert "sysctl -w kernel.threads-max=" in threads


def test_this_machine_can_be_asked() -> None:
    assert over_budget([Limits(max_replicas=1, max_paused=0, processes=1, files=16)] * 2) == []
    assert over_budget([Limits(processes=32_768)] * 2) != []  # kernel.pid_max is at most 4 million
