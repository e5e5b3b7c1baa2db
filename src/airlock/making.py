"""Makes what plugins define. Where that fails for a project, the project is down and says why; the others serve."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .backend import Backend, Pool
from .errors import BackendUnavailable, MakingFailed, StoreRefused
from .mediation import AgentMediator, MediatorSettings

if TYPE_CHECKING:
    from pathlib import Path

    from .backend import Job, Session
    from .mediation import Mediator
    from .project_config import ProjectConfig
    from .store import Store, StoreSettings

log = logging.getLogger(__name__)

T = TypeVar("T", bound="Backend[Any] | Mediator[Any] | Store[Any]")


def make_parts(config: ProjectConfig) -> tuple[Backend[Any], Mediator[Any]]:
    """Make a project's backend and mediator; or, when one of them fails, what keeps the project down."""
    project = config.project
    try:
        return (
            make("backend", config.backend, project, config.backend_settings),
            make("mediator", config.mediator, project, config.mediator_settings),
        )
    except MakingFailed as failure:
        return BrokenBackend(config, failure), AgentMediator(project, MediatorSettings())


async def open_store(kind: type[Store[Any]], settings: StoreSettings, directory: Path) -> Store[Any]:
    """Make a store and open it. Raises StoreRefused: without its store a server does not start."""
    try:
        store = make("store", kind, settings, directory)
        try:
            await store.open()
        except BaseException:
            await store.close()
            raise
    except StoreRefused as refused:
        if str(refused).strip():
            raise
        log.exception("the store %r gave no reason", kind.type)
        raise StoreRefused(_told("store", kind, "opened", refused)) from refused
    except MakingFailed as failure:
        raise StoreRefused(str(failure)) from failure
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        log.exception("the store %r could not be opened", kind.type)
        raise StoreRefused(_told("store", kind, "opened", error)) from error
    return store


def check_made(made: object) -> None:
    """Raise TypeError when a class of a plugin has kept from its base what core gave."""
    if not hasattr(made, "settings"):
        raise TypeError(f"{type(made).__name__}.__init__ does not call super().__init__")


class BrokenBackend(Backend[Any]):
    """Stands in for a backend where something of the project could not be made. Never comes up."""

    def __init__(self, config: ProjectConfig, failure: MakingFailed) -> None:
        """Refuse whatever is asked because of this failure."""
        super().__init__(config.project, config.backend_settings)
        self.type = config.backend.type  # type: ignore[misc]  # as the configuration names it
        self.runs_code = config.backend.runs_code  # type: ignore[misc]  # so that the same waits for it, or brings it up
        self._refusal = BackendUnavailable(str(failure))

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


def make(kind: str, cls: type[T], *arguments: Any) -> T:
    """Make a backend, mediator or store. Raises MakingFailed, after the log has the traceback."""
    try:
        made = cls(*arguments)
        check_made(made)
    except (Exception, SystemExit) as error:  # the boundary to a plugin
        log.exception("the %s %r could not be made", kind, cls.type)
        raise MakingFailed(_told(kind, cls, "made", error)) from error
    return made


def _told(kind: str, cls: type[T], what: str, error: BaseException) -> str:
    cause = f"{type(error).__name__}: {error}".rstrip(": ")
    return (
        f"The {kind} {cls.type!r} could not be {what} ({cause}). This is a mistake of its plugin; the log says where."
    )
