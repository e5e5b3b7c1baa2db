"""The contract that every backend passes."""

from __future__ import annotations

from .held_limits import HeldLimits
from .isolation import Isolation
from .lifecycle import Declaration, Jobs, Lifecycle
from .preload import Preload
from .questions import Questions
from .script.exit_codes import ExitCodes
from .script.interpreter import Interpreter
from .script.loopback import Loopback
from .script.main_file import MainFile
from .script.partial_results import PartialResults
from .script.place import Place
from .script.script_end import ScriptEnd
from .script.sdk_names import SDKNames
from .script.sizes import Sizes
from .script.streams import Streams
from .script.surroundings import Surroundings
from .script.values import Values
from .scripts import Scripts


class BackendContract(
    Declaration,
    Lifecycle,
    Jobs,
    Scripts,
    MainFile,
    Interpreter,
    Streams,
    ScriptEnd,
    ExitCodes,
    PartialResults,
    Place,
    SDKNames,
    Values,
    Questions,
    Isolation,
    Loopback,
    Preload,
    Surroundings,
    Sizes,
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
