"""The contract that every backend keeps."""

import os
from typing import ClassVar

from airlock import Project
from airlock.testing import BackendContract
from airlock_docker.backend import DockerBackend, DockerSettings


class TestDockerBackend(BackendContract):
    capabilities: ClassVar[frozenset[str]] = frozenset({"no_network", "private_tmp", "streams_output", "subprocesses"})

    def make_backend(self, project: Project) -> DockerBackend:
        return DockerBackend(project, DockerSettings(image=os.environ.get("AIRLOCK_TEST_IMAGE", "airlock-test-base")))
