"""Counters, on files in the kernel's format; the tests of both backends use the kernel's own files."""

import os
from pathlib import Path

import pytest

from airlock.sandbox import Counters

VERSION_1 = {
    "cpuacct": {"cpuacct.usage": "1500000000\n"},
    "cpu": {"cpu.stat": "nr_periods 7\nnr_throttled 0\nthrottled_time 0\n"},
    "memory": {"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"},
    "pids": {"pids.events": "max 3\n"},
}
VERSION_2 = {
    "cgroup.controllers": "cpu memory pids\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 4\noom_kill 2\noom_group_kill 0\n",
    "pids.events": "max 3\n",
}


def write(directory: Path, files: dict[str, str]) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture(params=[1, 2])
def groups(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    if request.param == 2:
        return [write(tmp_path / "group", VERSION_2)]
    return [write(tmp_path / controller, files) for controller, files in VERSION_1.items()]


def read(counters: Counters) -> tuple[float, int, int]:
    return counters.cpu_time(), counters.oom_kills(), counters.refused_forks()


def test_both_versions_are_read(groups: list[Path]) -> None:
    counters = Counters(groups)
    assert counters.counts_cpu_time
    assert read(counters) == (1.5, 2, 3)
    counters.close()


def test_restart_counts_from_0_again(groups: list[Path]) -> None:
    counters = Counters(groups)
    counters.restart()
    assert read(counters) == (0, 0, 0)
    (groups[-1] / "pids.events").write_text("max 5\n")
    assert read(counters) == (0, 0, 2)
    counters.close()


def test_what_was_read_last_is_kept_when_the_group_is_gone(groups: list[Path]) -> None:
    (gone := Counters(groups)).look()
    late = Counters(groups)
    gone.close()
    for group in groups:
        for file in group.iterdir():
            file.unlink()
    assert read(gone) == (1.5, 2, 3)
    assert read(late) == (0, 0, 0)


def test_a_process_that_was_killed_for_lack_of_memory_elsewhere_is_not_counted(tmp_path: Path) -> None:
    """The machine may be out of memory, or a group around this one."""
    elsewhere = VERSION_2 | {"memory.events": "low 0\nhigh 0\nmax 9\noom 0\noom_kill 2\noom_group_kill 0\n"}
    counters = Counters([write(tmp_path / "group", elsewhere)])
    assert counters.counts_memory
    assert read(counters) == (1.5, 0, 3)
    counters.close()


def test_close_gives_all_descriptors_back_and_opens_none_again(groups: list[Path]) -> None:
    before = os.listdir("/proc/self/fd")
    counters = Counters(groups)
    counters.look()
    counters.close()
    counters.look()
    assert os.listdir("/proc/self/fd") == before
    assert read(counters) == (1.5, 2, 3)


def test_what_no_controller_counts_stays_0(tmp_path: Path) -> None:
    counters = Counters([write(tmp_path / "pids", VERSION_1["pids"]), tmp_path / "none"])
    assert not counters.counts_cpu_time
    assert not counters.counts_memory
    assert read(counters) == (0, 0, 3)
    counters.close()
