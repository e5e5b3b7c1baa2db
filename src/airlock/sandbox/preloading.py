"""Which modules of a project's `preload` its sandboxes import, and which cannot be, found out by trying."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from airlock.errors import BackendUnavailable

if TYPE_CHECKING:
    from airlock.backends import Project

log = logging.getLogger(__name__)

REMEDY: Final = "Correct that key, or add what `preload` needs to `packages`."


class NotPreloaded(BackendUnavailable):
    """Raised when a sandbox did not come up since `preload` or `preload_reseed` is at fault.

    `module` is the one of `preload` to leave out; without one, the project stays down.
    """

    def __init__(self, detail: str, module: str | None = None) -> None:
        super().__init__(f"{detail}.", REMEDY)
        self.module = module


class Preloading:
    """What is left of `preload`. A sandbox in which an import failed is of no use any more, so start another one."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._left_out: dict[str, str] = {}

    @property
    def modules(self) -> list[str]:
        """Those to import."""
        return [name for name in self._project.preload if name not in self._left_out]

    @property
    def note(self) -> str | None:
        """What operators should know of it."""
        return "; ".join(f"not preloaded: {cause}" for cause in self._left_out.values()) or None

    def leave_out(self, fault: NotPreloaded) -> None:
        """Do so from now on, with a warning. Raises the fault again if that is no remedy, or with `preload_strict`."""
        if fault.module not in self._project.preload or self._project.preload_strict:
            raise fault
        if fault.module in self._left_out:
            return  # found out by several at once
        cause = fault.detail.removeprefix("preload: ").removesuffix(".")
        self._left_out[fault.module] = cause
        log.warning("project %s: not preloaded, scripts import it themselves: %s", self._project.name, cause)
