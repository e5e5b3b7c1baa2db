"""Tools for the tests of plugin authors: `pip install 'airlock-core[testing]'`.

For a backend, subclass `BackendContract`; for a mediator, `MediatorContract`; for a store, `StoreContract`. This is a
complete test file:

    class TestEchoBackend(BackendContract):
        def make_backend(self, project: airlock.Project) -> EchoBackend:
            return EchoBackend(project, EchoSettings())

Which tests apply depends on what the plugin's class declares (`runs_code`, `enforces`) and on the capabilities that the
test class claims (`BACKEND_CAPABILITIES`, `MEDIATOR_CAPABILITIES`); `pytest -ra` prints what was skipped, and why.

For your own tests: `RunningPool` runs scripts on a `PooledBackend`; `RecordingRun` stands in for core, `never_answers`
for an agent that does not answer; `missing` skips a test that the machine cannot run, or fails it if
$AIRLOCK_TEST_REQUIRE says that the machine must.
`served` runs a server, a `ServerProcess`. `Crashes` kills servers with your backend at random moments: nothing that
they accepted may be lost.
For tests of REST clients: `code_that_asks` pauses an execution of a project on the mock backend.
"""

from . import assert_rewriting  # noqa: F401 - first: the other imports need it
from .backend.capabilities import BACKEND_CAPABILITIES, MEDIATOR_CAPABILITIES
from .backend.contract import BackendContract
from .crashes import Crashes
from .mediator import MediatorContract
from .processes import ServerProcess
from .recording import RecordingRun, never_answers
from .requirements import missing
from .running import Ran, RunningPool
from .servers import code_that_asks, served
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
