"""Plugins that add routes, and servers with keys."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from airlock import GatewayView, hookimpl
from airlock.gateway import keys

TWO_PROJECTS = "projects: {one: {backend: mock}, two: {backend: mock}}\n"
KEYED = f"""
server:
  keys:
    - {{name: all, sha256: {keys.sha256("all")}}}
    - {{name: one, sha256: {keys.sha256("one")}, projects: [one]}}
{TWO_PROJECTS}
"""

Extend = Callable[[FastAPI, GatewayView], Any]
Served = Callable[..., TestClient]


def extending(extend: Extend) -> SimpleNamespace:
    def airlock_extend_app(app: FastAPI, gateway: GatewayView) -> Any:
        return extend(app, gateway)

    return SimpleNamespace(airlock_extend_app=hookimpl(airlock_extend_app))


def with_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def says(text: str, path: str = "/dash", public: Any = None) -> Extend:
    def extend(app: FastAPI, gateway: GatewayView) -> Any:
        @app.get(path)
        async def say() -> str:
            return text

        return public

    return extend
