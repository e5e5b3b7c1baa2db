"""The contract that every backend passes."""

from __future__ import annotations

from .held_limits import HeldLimits
from .isolation import Isolation
from .lifecycle import Declaration, Jobs, Lifecycle
from .preload import Preload
from .questions import Questions
from .scripts import Scripts
from .sizes import Sizes
from .surroundings import Surroundings


class BackendContract(
    Declaration, Lifecycle, Jobs, Scripts, Questions, Isolation, Preload, HeldLimits, Surroundings, Sizes
):
    """Subclass it, write `make_backend` and claim `capabilities`; pytest does the rest.

    class TestEchoBackend(BackendContract):
        def make_backend(self, project: airlock.Project) -> EchoBackend:
            return EchoBackend(project, EchoSettings())

    `capabilities` is a set of names from `BACKEND_CAPABILITIES`; `code`, `endless_code`, `patience` and `runs_python`
    are optional.
    Override a test that cannot pass with `pytest.mark.xfail(reason=...)`; without that, the class is refused.
    """
