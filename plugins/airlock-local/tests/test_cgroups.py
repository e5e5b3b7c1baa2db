"""Groups of the kernel's version 2 on machines whose controllers are still with version 1: what needs none is tried."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from airlock import Limits
from airlock.testing import missing
from airlock_local import hierarchies
from airlock_local.cgroups import Groups
from airlock_local.hierarchies import Base

SPIN = """
import os
child = os.fork()
while os.times().user < 0.2: pass
if child: os.waitpid(child, 0)
"""


@pytest.fixture
def groups() -> Iterator[Groups]:
    """Groups without a controller in version 2."""
    mount = next(
        (Path(p) for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if Path(p, "cgroup.procs").exists()), None
    )
    if mount is None or os.geteuid() != 0:
        missing("cgroup2", "no cgroup v2 hierarchy in which this user may make groups")
    directory = mount / "airlock-local-test"
    directory.mkdir()
    groups = Groups([Base(directory, frozenset(), 2)], Limits())
    yield groups
    assert groups.close()


def test_version_2_counts_the_cpu_time_of_all_processes_of_a_group(groups: Groups) -> None:
    group = groups.take()
    before = group.cpu_time()
    subprocess.run(["python3", "-c", SPIN], preexec_fn=lambda: os.write(group.joins[0], b"0"), check=True)
    used = group.cpu_time() - before
    assert 0.4 <= used < 5
    group.give_back(empty=True)


def test_a_hierarchy_without_a_wanted_controller_is_left_as_it_was(groups: Groups) -> None:
    mount = groups._bases[0].directory.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hierarchies, "MOUNT", mount)
        assert list(hierarchies.bases("airlock-local-none", ["no-such-controller"])) == []
    assert not (mount / "airlock-local-none").exists()
