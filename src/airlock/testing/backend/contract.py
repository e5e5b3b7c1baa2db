"""The contract that every backend passes."""

from __future__ import annotations

from .held_limits import HeldLimits
from .isolation import Isolation
from .lifecycle import Declaration, Jobs, Lifecycle
from .loopback import Loopback
from .main_file import MainFile
from .preload import Preload
from .questions import Questions
from .script_end import ScriptEnd
from .scripts import Scripts
from .sdk_names import SDKNames
from .streams import Streams
from .values import Values


class BackendContract(
    Declaration,
    Lifecycle,
    Jobs,
    Scripts,
    MainFile,
    Streams,
    ScriptEnd,
    SDKNames,
    Values,
    Questions,
    Isolation,
    Preload,
    Loopback,
    HeldLimits,
):
    """Subclass it, write `make_backend` and claim `capabilities`; pytest does the rest.

    class TestEchoBackend(BackendContract):
        def make_backend(self, project: airlock.Project) -> EchoBackend:
            return EchoBackend(project, EchoSettings())

    `capabilities` is a set of names from `BACKEND_CAPABILITIES`; `code`, `endless_code`, `patience` and `runs_python`
    are optional.
    Override a test that cannot pass with `pytest.mark.xfail(reason=...)`; without that, the class is refused.
    """
