"""What a valid configuration says about project names and about running code."""

from tests.config.conftest import MockBackend, load

from airlock.plugins.manager import Plugins


def test_unlisted_name_is_no_project_without_a_default_backend(plugins: Plugins) -> None:
    loaded = load("projects: {p: {backend: mock}}", plugins)
    assert loaded.project("q") is None
    assert loaded.warnings == []


def test_default_backend_serves_every_unlisted_name_and_warns(plugins: Plugins) -> None:
    loaded = load("default_backend: mock\nprojects: {p: {backend: local}}", plugins)
    unlisted, listed = loaded.project("q"), loaded.project("p")
    assert unlisted is not None
    assert (unlisted.project.name, unlisted.backend, unlisted.replicas) == ("q", MockBackend, 1)
    assert listed is loaded.projects["p"]
    (warning,) = loaded.warnings
    assert "default_backend is mock: a mistyped project name" in warning


def test_runs_code_if_one_project_does(plugins: Plugins) -> None:
    assert not load("projects: {p: {backend: mock}}", plugins).runs_code
    assert load("projects: {p: {backend: mock}, q: {backend: local}}", plugins).runs_code
