"""The contract that every backend keeps, with the daemon's own runtime and in gVisor."""

import os
from typing import ClassVar

import docker
import pytest

from airlock import Project
from airlock.testing import BackendContract, missing
from airlock_docker.backend import DockerBackend, DockerSettings

IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")
EVERYTHING = frozenset({"no_network", "private_tmp", "streams_output", "subprocesses"})


class TestDockerBackend(BackendContract):
    capabilities: ClassVar[frozenset[str]] = EVERYTHING

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=IMAGE))


class TestGVisor(BackendContract):
    capabilities: ClassVar[frozenset[str]] = EVERYTHING

    @pytest.fixture(autouse=True)
    def runtime(self, client: docker.DockerClient) -> None:
        if "runsc" not in client.info()["Runtimes"]:
            missing("gvisor", "the Docker daemon has no runtime `runsc`")

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=IMAGE, runtime="runsc"))

    @pytest.mark.xfail(reason="the cgroup counts gVisor's own threads: with 17 it does not even start")
    async def test_fork_over_limits_processes_fails_and_the_children_end(self) -> None:
        await super().test_fork_over_limits_processes_fails_and_the_children_end()

    @pytest.mark.xfail(reason="gVisor's own clock of CPU time does not see that the sandbox as a whole is slowed down")
    async def test_script_gets_no_more_than_limits_cpus(self) -> None:
        await super().test_script_gets_no_more_than_limits_cpus()
