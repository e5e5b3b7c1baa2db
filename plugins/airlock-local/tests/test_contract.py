"""The contract that every backend passes."""

import airlock
from airlock.testing import BACKEND_CAPABILITIES, BackendContract
from airlock_local.backend import LocalBackend, LocalSettings


class TestLocalBackend(BackendContract):
    """With every capability that there is."""

    capabilities = frozenset(BACKEND_CAPABILITIES)

    def make_backend(self, project: airlock.Project) -> LocalBackend:
        return LocalBackend(project, LocalSettings())
