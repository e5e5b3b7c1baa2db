"""What stands in for a backend whose plugin fails to make it: the project is down, and says why; the others serve."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

from .backend import Backend, Pool
from .errors import BackendUnavailable

if TYPE_CHECKING:
    from .backend import Job, Project, Session

log = logging.getLogger(__name__)


class BrokenBackend(Backend[Any]):
    """Never comes up."""

    def __init__(self, project: Project, settings: Any, made: type[Backend[Any]], error: str) -> None:
        """Stand in for `made`, which failed with `error`."""
        super().__init__(project, settings)
        self.type = made.type  # type: ignore[misc]  # as the configuration names it
        self.runs_code = made.runs_code  # type: ignore[misc]  # so that the same waits for it, or brings it up
        self._refusal = BackendUnavailable(
            f"The backend {made.type!r} could not be made ({error}).",
            "This is a mistake of its plugin; the log says where.",
        )

    async def scale(self, replicas: int) -> None:
        """Refuse."""
        if replicas:
            raise self._refusal

    async def execute(self, job: Job, session: Session) -> NoReturn:
        """Refuse."""
        raise self._refusal

    def pool(self) -> Pool:
        """Return an empty pool."""
        return Pool(replicas=0, idle=0)


def make(kind: type[Backend[Any]], project: Project, settings: Any) -> Backend[Any]:
    """Make a backend, or what stands in for it."""
    try:
        backend = kind(project, settings)
        backend.project, backend.settings  # noqa: B018 - an `__init__` that forgot `super().__init__` has none
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        log.exception("project %s: backend %r could not be made", project.name, kind.type)
        return BrokenBackend(project, settings, kind, f"{type(error).__name__}: {error}")
    return backend
