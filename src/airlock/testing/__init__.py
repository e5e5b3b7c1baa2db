"""What plugin authors test with: `pip install 'airlock-core[testing]'`.

For a backend: subclass `BackendContract`. For a mediator: subclass `MediatorContract`.
For a store: `StoreContract`. That is a whole test file:

    class TestEchoBackend(BackendContract):
        def make_backend(self, project: airlock.Project) -> EchoBackend:
            return EchoBackend(project, EchoSettings())

Each test follows from what the plugin's class declares (`runs_code`, `enforces`) or from a capability that the test
class names (`BACKEND_CAPABILITIES`, `MEDIATOR_CAPABILITIES`); `pytest -ra` prints what was skipped, and why.

For tests of your own: `RunningPool` runs scripts on a `PooledBackend`; `RecordingRun` stands in for core,
`never_answers` for an agent that does not answer; `missing` skips what the machine cannot do, or fails it where
$AIRLOCK_TEST_REQUIRE says that it must.
`served` runs a server, a `ServerProcess`. `Crashes` kills servers on your backend at random moments: nothing that they
accepted may be lost.
For tests of REST clients: `code_that_asks` pauses an execution in a project on the mock backend.
"""

from . import assert_rewriting  # noqa: F401 - first: it prepares the import of the others
from .backend.capabilities import BACKEND_CAPABILITIES, MEDIATOR_CAPABILITIES
from .backend.contract import BackendContract
from .crashes import Crashes
from .mediator import MediatorContract
from .mock_code import code_that_asks
from .processes import ServerProcess
from .recording import RecordingRun, never_answers
from .requirements import missing
from .running import Ran, RunningPool
from .servers import served
from .store import StoreContract

__all__ = [
    "BACKEND_CAPABILITIES",
    "MEDIATOR_CAPABILITIES",
    "BackendContract",
    "Crashes",
    "MediatorContract",
    "Ran",
    "RecordingRun",
    "RunningPool",
    "ServerProcess",
    "StoreContract",
    "code_that_asks",
    "missing",
    "never_answers",
    "served",
]
