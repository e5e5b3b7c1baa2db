"""Projects of airlock.yaml, resolved against the installed plugins, and mistakes in them."""

import os

import pytest
from pydantic import Field
from tests.config.conftest import (
    CannedMediator,
    CannedSettings,
    LocalBackend,
    LocalSettings,
    MockBackend,
    Mount,
    load,
    plugin,
    problem_in,
    problems,
)

from airlock import BackendSettings
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source


def test_project_has_its_defaults(plugins: Plugins) -> None:
    project = load("projects: {p: {backend: local}}", plugins).projects["p"]
    assert project.project.name == "p"
    assert project.replicas == 1
    assert project.backend is LocalBackend
    assert project.backend_settings == LocalSettings()
    assert project.mediator.type == "agent"
    assert project.project.limits.timeout == 3600


def test_project_takes_what_is_written(plugins: Plugins) -> None:
    project = load(
        """
        projects:
          p:
            description: For reports
            replicas: 0
            packages: ["pandas[excel]>=2.2,<3", requests]
            preload: [pandas, xml.etree]
            preload_reseed: ["numbers:draw.seed"]
            settings: {REPORT: weekly}
            limits: {memory: 64MiB, timeout: 5, shutdown_grace: 0.5}
            llm: {type: canned, answers: ["42"]}
            backend: {type: local, isolation: reduced, mounts: [{source: data}]}
        """,
        plugins,
    ).projects["p"]
    assert project.project.description == "For reports"
    assert project.replicas == 0
    assert project.project.packages == ("pandas[excel]>=2.2,<3", "requests")
    assert project.project.preload == ("pandas", "xml.etree")
    assert project.project.preload_reseed == ("numbers:draw.seed",)
    assert project.settings == {"REPORT": "weekly"}
    limits = project.project.limits
    assert (limits.memory, limits.timeout, limits.shutdown_grace) == (64 << 20, 5, 0.5)
    assert project.mediator is CannedMediator
    assert project.mediator_settings == CannedSettings(answers=["42"])
    assert project.backend_settings == LocalSettings(isolation="reduced", mounts=[Mount(source="data")])


def test_empty_keys_of_a_project_count_as_left_out(plugins: Plugins) -> None:
    project = load("projects: {p: {backend: mock, limits: , packages: , llm: , replicas: }}", plugins).projects["p"]
    assert (project.replicas, project.project.packages, project.mediator.type) == (1, (), "agent")


def test_default_backend_that_runs_code_is_refused(plugins: Plugins) -> None:
    assert problems("default_backend: local", plugins) == [
        "airlock.yaml:1:1: default_backend: local runs code: list each project that may use it, with 'backend: local'"
    ]


@pytest.mark.parametrize("name", ["a b", "../x", "-x", '"a\\0b"', '"a\\n"', '""', "x" * 65])
def test_bad_name_for_a_project_is_refused(name: str, plugins: Plugins) -> None:
    (told,) = problems(f"projects: {{{name}: {{backend: mock}}}}", plugins)
    assert "not a name: 1 to 64" in told
    assert "\n" not in told


def test_limit_that_the_backend_cannot_enforce_is_refused_with_what_it_can(plugins: Plugins) -> None:
    assert problem_in("{backend: local, limits: {cpus: 2, timeout: 5}}", plugins) == (
        "projects.p.limits.cpus: backend local cannot enforce this limit (it enforces: memory, processes); "
        "remove the limit or choose another backend"
    )


@pytest.mark.parametrize(("key", "value"), [("packages", "pandas"), ("preload", "pandas"), ("preload_reseed", "a:b")])
def test_key_that_the_backend_does_not_use_is_refused_where_it_stands(key: str, value: str, plugins: Plugins) -> None:
    text = f"projects:\n  p:\n    backend: plain\n    {key}: ['{value}']\n"
    assert problems(text, plugins) == [
        f"airlock.yaml:4:5: projects.p.{key}: backend plain does not use this key; remove it or choose another backend"
    ]
    assert load(text.replace(f"['{value}']", "[]"), plugins).projects
    assert load(text.replace("plain", "local"), plugins).projects


def test_all_that_is_wrong_with_a_backend_is_told_beside_its_options(plugins: Plugins) -> None:
    text = "projects: {p: {packages: [a], limits: {cpus: 2}, backend: {type: plain, color: red}}}"
    assert [line.split(": ")[1] for line in problems(text, plugins)] == [
        "projects.p.packages",
        "projects.p.limits.cpus",
        "projects.p.backend.color",
    ]


def test_options_at_which_the_plugin_itself_fails_are_told_with_its_name(plugins: Plugins) -> None:
    class Hasty(BackendSettings):
        token: str = Field(default_factory=lambda: os.environ["A_TOKEN_THAT_NOBODY_SET"])

    class HastyBackend(MockBackend):
        type = "hasty"
        Settings = Hasty

    plugins.register(plugin(backends=[HastyBackend]), Source("hasty", "airlock-hasty", "0.1"))
    assert load("projects: {p: {backend: {type: hasty, token: x}}}", plugins).projects
    told = problem_in("{backend: hasty}", plugins)
    assert told.startswith(
        "projects.p.backend: airlock-hasty 0.1 failed to validate these options: KeyError: 'A_TOKEN_THAT_"
    )
    assert "(test_projects.py, line " in told


def test_unenforceable_limit_is_told_also_beside_another_mistake(plugins: Plugins) -> None:
    told = problems("projects: {p: {backend: mock, limits: {memory: 64MiB}, replica: 1}}", plugins)
    assert len(told) == 2


def test_unknown_backend_names_the_known_ones_and_those_that_are_broken(plugins: Plugins) -> None:
    plugins.register(plugin(backends=LocalBackend), Source("docker", "airlock-docker", "0.1"))
    told = problem_in("{backend: {type: docker}}", plugins)
    assert told.startswith("projects.p.backend.type: no backend 'docker'")
    assert "local (airlock-local 2.0), mock (airlock-mock 1.0)" in told
    assert "airlock-docker 0.1 is broken: airlock_register_backends returned the class LocalBackend" in told


def test_broken_plugin_that_no_project_names_is_no_problem(plugins: Plugins) -> None:
    plugins.register(plugin(backends=LocalBackend), Source("docker", "airlock-docker", "0.1"))
    assert load("projects: {p: {backend: mock}}", plugins).projects
