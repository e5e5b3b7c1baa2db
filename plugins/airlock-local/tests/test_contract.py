"""The contract of every backend."""

import os

import pytest

from airlock import Project
from airlock.testing import BACKEND_CAPABILITIES, BackendContract
from airlock_local.backend import LocalBackend, LocalSettings

needs_cgroup = pytest.mark.xfail(
    os.geteuid() != 0, reason="limits.cpus needs a cgroup, which an ordinary user may not have", strict=False
)


class TestLocalBackend(BackendContract):
    capabilities = frozenset(BACKEND_CAPABILITIES)

    def make_backend(self, project: Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings())

    @needs_cgroup
    async def test_script_gets_no_more_than_limits_cpus(self) -> None:
        await super().test_script_gets_no_more_than_limits_cpus()

    @needs_cgroup
    async def test_processes_that_wake_all_the_time_get_no_more_than_limits_cpus_together(self) -> None:
        await super().test_processes_that_wake_all_the_time_get_no_more_than_limits_cpus_together()


@pytest.mark.more
class TestLocalBackendWithNewSandboxes(TestLocalBackend):
    def make_backend(self, project: Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings(reuse="never"))
