"""What scripts are shown as the size of the machine."""

import os

import pytest

from airlock.worker import sizes


def test_many_cores_are_written_as_the_kernel_does() -> None:
    files = sizes.files(memory=1 << 30, processes=64, cpus=None, cores=40)
    assert files["/sys/devices/system/cpu/online"] == "0-39\n"
    assert files["/sys/devices/system/cpu/cpu39/topology/thread_siblings"] == "00000080,00000000\n"
    assert files["/sys/devices/system/cpu/cpu39/topology/core_siblings"] == "000000ff,ffffffff\n"


def test_no_quota_is_written_as_the_kernel_does() -> None:
    files = sizes.files(memory=1 << 30, processes=64, cpus=None, cores=1)
    assert files["/sys/devices/system/cpu/online"] == "0\n"
    assert files["/sys/fs/cgroup/cpu.max"] == "max 100000\n"
    assert files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] == "-1\n"


def test_memory_is_in_kibibytes_of_which_all_is_free() -> None:
    lines = sizes.meminfo(96 << 20).splitlines()
    assert lines[:3] == ["MemTotal:          98304 kB", "MemFree:           98304 kB", "MemAvailable:      98304 kB"]


@pytest.mark.parametrize(("cores", "shown"), [(2, {3, 5}), (9, {3, 5, 8})])
def test_cores_are_some_of_those_that_there_are(monkeypatch: pytest.MonkeyPatch, cores: int, shown: set[int]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8})
    sizes.show_cores(cores)
    assert os.sched_getaffinity(0) == shown
