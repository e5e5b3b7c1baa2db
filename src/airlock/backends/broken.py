"""The stand-in for a backend that could not be made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airlock.errors import BackendUnavailable

from .backend import Backend, BackendSettings, Pool

if TYPE_CHECKING:
    from airlock.errors import MakingFailed

    from .backend import Job, Project, Run


class BrokenBackend(Backend[Any]):
    """Stands in when a project's backend or mediator could not be made. Never comes up."""

    def __init__(
        self, kind: type[Backend[Any]], project: Project, settings: BackendSettings, failure: MakingFailed
    ) -> None:
        """Refuse every call because of this failure."""
        super().__init__(project, settings)
        self.type = kind.type  # type: ignore[misc]  # as the configuration names it
        self.runs_code = kind.runs_code  # type: ignore[misc]  # so that core treats the project alike
        self._refusal = BackendUnavailable(str(failure))

    async def scale(self, replicas: int) -> None:
        """Refuse."""
        if replicas:
            raise self._refusal

    async def execute(self, job: Job, run: Run) -> NoReturn:
        """Refuse."""
        raise self._refusal

    def pool(self) -> Pool:
        """Return an empty pool."""
        return Pool(replicas=0, idle=0)
