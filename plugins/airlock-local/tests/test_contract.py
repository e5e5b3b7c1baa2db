"""The contract of every backend."""

import os

import pytest

from airlock import Project
from airlock.testing import BACKEND_CAPABILITIES, BackendContract
from airlock_local.backend import LocalBackend, LocalSettings


class TestLocalBackend(BackendContract):
    capabilities = frozenset(BACKEND_CAPABILITIES)

    def make_backend(self, project: Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings())

    @pytest.mark.xfail(
        os.geteuid() != 0, reason="limits.cpus needs a cgroup, which an ordinary user may not have", strict=False
    )
    async def test_script_gets_no_more_than_limits_cpus(self) -> None:
        await super().test_script_gets_no_more_than_limits_cpus()
