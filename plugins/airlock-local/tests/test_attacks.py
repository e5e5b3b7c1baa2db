"""The attacks that every sandbox has to hold."""

import os
from typing import ClassVar

import pytest

from airlock import Project
from airlock.testing.attacks import ATTACK_CAPABILITIES, AttackSuite
from airlock_local.backend import LocalBackend, LocalSettings

# An ordinary user may have none.
NEED_A_CGROUP = {"counts_cpu_time", "counts_locks", "counts_refusals", "together"}


class TestLocalAttacks(AttackSuite):
    capabilities: ClassVar[frozenset[str]] = frozenset(ATTACK_CAPABILITIES) - (NEED_A_CGROUP if os.geteuid() else set())

    def make_backend(self, project: Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings())


@pytest.mark.more
class TestLocalAttacksWithNewSandboxes(TestLocalAttacks):
    def make_backend(self, project: Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings(reuse="never"))
