"""The contract that every backend keeps, with the daemon's own runtime and in gVisor."""

import os
from typing import Any, ClassVar

import docker
import pytest

from airlock import Backend, Project
from airlock.testing import BACKEND_CAPABILITIES, BackendContract, missing
from airlock.testing.attacks import IS_SOAK
from airlock.testing.backend.script.loopback import ATTEMPTS
from airlock_docker.backend import DockerBackend, DockerSettings

IMAGE = os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")
OWN_CLOCK = "gVisor's own clock of CPU time does not see that the sandbox as a whole is slowed down"
WITHOUT_SOAK = ("answer", "cancelled", "memory", "network", "tmp")  # of gVisor, in words of the tests' names


class OneBackend(BackendContract):
    """All tests that do not ask for limits share a backend: to bring one up takes three containers."""

    capabilities: ClassVar[frozenset[str]] = frozenset(BACKEND_CAPABILITIES)
    runtime: ClassVar[str | None] = None

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=IMAGE, runtime=self.runtime))

    @pytest.fixture
    async def backend(self, shared: DockerBackend) -> DockerBackend:
        return shared


class TestDockerBackend(OneBackend):
    pass


class TestGVisor(OneBackend):
    runtime = "runsc"

    @pytest.fixture(autouse=True)
    def gvisor(self, client: docker.DockerClient, request: pytest.FixtureRequest) -> None:
        if not IS_SOAK and not any(word in request.node.name for word in WITHOUT_SOAK):
            pytest.skip("takes minutes: only with AIRLOCK_TEST_SOAK=1")
        if "runsc" not in client.info()["Runtimes"]:
            missing("gvisor", "the Docker daemon has no runtime `runsc`")

    @pytest.mark.xfail(reason=OWN_CLOCK, strict=False)
    async def test_processes_that_wake_all_the_time_get_no_more_than_limits_cpus_together(self) -> None:
        await super().test_processes_that_wake_all_the_time_get_no_more_than_limits_cpus_together()

    @pytest.mark.xfail(reason=OWN_CLOCK, strict=False)
    async def test_script_gets_no_more_than_limits_cpus(self) -> None:
        await super().test_script_gets_no_more_than_limits_cpus()

    @pytest.mark.xfail(reason="its kernel does not count what finds no route", strict=False)
    @pytest.mark.parametrize(("code", "times"), ATTEMPTS.values(), ids=ATTEMPTS)
    async def test_an_attempt_to_leave_is_named_once(self, shared: Backend[Any], code: str, times: int) -> None:
        await super().test_an_attempt_to_leave_is_named_once(shared, code, times)
