"""What airlock-docker registers: the backend that runs Python in containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import airlock

if TYPE_CHECKING:
    from collections.abc import Iterable


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    """Offer `backend: {type: docker, image: ...}`."""
    from .backend import DockerBackend  # noqa: PLC0415 - a plugin that is not used costs nothing

    return [DockerBackend]
