"""The attacks that every sandbox has to hold, with the daemon's own runtime and in gVisor."""

import os
from typing import ClassVar

import docker
import pytest

from airlock import Project
from airlock.testing import missing
from airlock.testing.attacks import ATTACK_CAPABILITIES, IS_SOAK, AttackSuite, Pool, Pools
from airlock.testing.attacks.limits import OTHER_BOMBS
from airlock_docker.backend import DockerBackend, DockerSettings

IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")


class TestDockerAttacks(AttackSuite):
    capabilities: ClassVar[frozenset[str]] = frozenset(ATTACK_CAPABILITIES)
    soon = 5  # a container may have to be started meanwhile

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=IMAGE))


@pytest.mark.skipif(not IS_SOAK, reason="takes minutes: only with AIRLOCK_TEST_SOAK=1")
class TestGVisorAttacks(AttackSuite):
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"counts_cpu_time", "counts_processes", "filters_calls", "loopback", "together"}
    )
    patience = 120
    soon = 20

    @pytest.fixture(autouse=True)
    def gvisor(self, client: docker.DockerClient) -> None:
        if "runsc" not in client.info()["Runtimes"]:
            missing("gvisor", "the Docker daemon has no runtime `runsc`")

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=IMAGE, runtime="runsc"))

    @pytest.mark.xfail(reason="its own kernel has tun and fuse devices, which lead nowhere")
    async def test_devices_are_the_harmless_ones(self, pool: Pool) -> None:
        await super().test_devices_are_the_harmless_ones(pool)

    @pytest.mark.xfail(reason="the daemon does not always see why it was killed: `worker_lost`", strict=False)
    @pytest.mark.parametrize("bomb", OTHER_BOMBS.values(), ids=OTHER_BOMBS)
    async def test_memory_that_is_not_the_scripts_own_counts_too(self, pools: Pools, bomb: str) -> None:
        await super().test_memory_that_is_not_the_scripts_own_counts_too(pools, bomb)

    @pytest.mark.xfail(reason="to the host it is one process, which the kernel kills as a whole")
    async def test_a_script_that_survives_its_childs_death_by_memory_completes(self, pools: Pools) -> None:
        await super().test_a_script_that_survives_its_childs_death_by_memory_completes(pools)

    @pytest.mark.xfail(reason="as above")
    async def test_what_a_script_does_after_its_childs_death_by_memory_is_its_own(self, pools: Pools) -> None:
        await super().test_what_a_script_does_after_its_childs_death_by_memory_is_its_own(pools)

    @pytest.mark.xfail(reason="as above")
    async def test_a_script_that_waits_for_a_child_killed_for_memory_learns_that(self, pools: Pools) -> None:
        await super().test_a_script_that_waits_for_a_child_killed_for_memory_learns_that(pools)

    @pytest.mark.xfail(
        reason="its own kernel counts: a fork bomb may use up memory first: `memory_limit`", strict=False
    )
    async def test_bombs_end_with_the_error_that_they_met(self, pool: Pool) -> None:
        await super().test_bombs_end_with_the_error_that_they_met(pool)
