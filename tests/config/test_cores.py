"""`limits.cpus` where several projects share the machine."""

import os

import pytest
from tests.config.conftest import LocalBackend, load

from airlock.plugins.manager import Plugins


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with six cores, and a backend that enforces `cpus`."""
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(LocalBackend, "enforces", frozenset({"cpus", "memory"}))
    return monkeypatch


def cpus(text: str, plugins: Plugins) -> dict[str, float | None]:
    return {name: config.project.limits.cpus for name, config in load(text, plugins).projects.items()}


def test_several_projects_that_can_bound_it_have_half_of_the_cores_unless_they_say_otherwise(
    cores: pytest.MonkeyPatch, plugins: Plugins
) -> None:
    text = "projects: {a: {backend: local}, b: {backend: local, limits: {cpus: 6}}, c: {backend: mock}}"
    assert cpus(text, plugins) == {"a": 3, "b": 6, "c": None}
    cores.setattr(os, "cpu_count", lambda: 1)
    assert cpus(text, plugins) == {"a": None, "b": 6, "c": None}


def test_a_project_that_has_the_machine_for_itself_has_no_such_limit(
    cores: pytest.MonkeyPatch, plugins: Plugins
) -> None:
    assert cpus("projects: {a: {backend: local}, c: {backend: mock}}", plugins) == {"a": None, "c": None}
