"""What airlock-mock registers: an echoing backend, a mediator with canned answers, and a project to try them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import airlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@airlock.hookimpl
def airlock_register_backends() -> Iterable[type[airlock.Backend[Any]]]:
    """Offer `backend: mock`."""
    from .backend import MockBackend  # noqa: PLC0415 - an unused plugin costs nothing

    return [MockBackend]


@airlock.hookimpl
def airlock_register_mediators() -> Iterable[type[airlock.Mediator[Any]]]:
    """Offer `llm: {type: canned, answers: [...]}`."""
    from .mediation import CannedMediator  # noqa: PLC0415

    return [CannedMediator]


@airlock.hookimpl
def airlock_register_projects() -> Mapping[str, Mapping[str, Any]]:
    """Offer a project for servers without an airlock.yaml."""
    return {
        "mock-project": {
            "description": "A mock project for testing",
            "replicas": 1,
            "packages": ["requests", "pandas"],
            "backend": "mock",
        }
    }
