"""How each mistake in airlock.yaml is reported: its place, and what to write instead."""

import pytest
from tests.config.conftest import problem_in, problems

from airlock.models import MAX_REPLICAS
from airlock.plugins.manager import Plugins


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prjects: {}", "airlock.yaml:1:1: prjects: unknown key; did you mean 'projects'?"),
        ("xyz: 1", "airlock.yaml:1:1: xyz: unknown key; allowed: server, store, default_backend, projects"),
        ("server: {tls: {}}", "airlock.yaml:1:10: server.tls: unknown key; allowed: host, port, keys, log, insecure"),
        ("server: 5", "airlock.yaml:1:1: server: must be a mapping, like {key: value}"),
        ("server: {port: 70000}", "airlock.yaml:1:10: server.port: must be at most 65535"),
        ("server: {port: http}", "airlock.yaml:1:10: server.port: must be a whole number"),
        ("server: {insecure: yes}", "airlock.yaml:1:10: server.insecure: must be true or false"),
        ("projects: [a]", "airlock.yaml:1:1: projects: must be a mapping, like {key: value}"),
        (
            "projects: {a: mock}",
            "airlock.yaml:1:12: projects.a: must be a mapping with at least a backend, like {backend: local}",
        ),
    ],
)
def test_mistake_at_the_top_is_told(text: str, told: str, plugins: Plugins) -> None:
    assert problems(text, plugins) == [told]


@pytest.mark.parametrize(
    ("project", "told"),
    [
        ("{backend: mock, pakages: [x]}", "projects.p.pakages: unknown key; did you mean 'packages'?"),
        ("{backend: mock, gpus: {}}", "projects.p.gpus: unknown key; allowed: "),
        ("{backend: mock, replicas: true}", "projects.p.replicas: must be a whole number"),
        ("{backend: mock, replicas: 1.5}", "projects.p.replicas: must be a whole number"),
        ("{backend: mock, replicas: -1}", "projects.p.replicas: must be at least 0"),
        (f"{{backend: mock, replicas: {MAX_REPLICAS + 1}}}", f"projects.p.replicas: must be at most {MAX_REPLICAS}"),
        ("{backend: mock, replicas: 65}", "projects.p.replicas: must be at most 64 (limits.max_replicas)"),
        ("{backend: mock, packages: pandas}", "projects.p.packages: must be a list, like [a, b]"),
        ("{backend: mock, packages: [5]}", "projects.p.packages[0]: must be text"),
        ("{backend: mock, preload: [a, 'b-c']}", "projects.p.preload[1]: not the name of a module"),
        (
            "{backend: mock, preload_reseed: ['a:b', numpy.seed]}",
            "projects.p.preload_reseed[1]: not a function; write module:function, like package.numbers:seed",
        ),
        ("{backend: mock, settings: {PORT: 80}}", "projects.p.settings.PORT: must be text; put it in quotes"),
        ("{backend: mock, limits: {tmeout: 5}}", "projects.p.limits.tmeout: unknown key; did you mean 'timeout'?"),
        ("{backend: mock, limits: {timeout: 0}}", "projects.p.limits.timeout: must be at least 1"),
        ("{backend: local, limits: {memory: 1MiB}}", "projects.p.limits.memory: must be at least 16MiB"),
        ("{backend: local, limits: {memory: 512M}}", "projects.p.limits.memory: not a size; write 512MiB"),
        ("{backend: local, limits: {memory: 512mb}}", "projects.p.limits.memory: not a size; write 512MB"),
        ("{backend: local, limits: {memory: 1 Gi}}", "projects.p.limits.memory: not a size; write 1GiB"),
        (
            "{backend: local, limits: {timeout: 5m}}",
            "projects.p.limits.timeout: times are seconds, without a unit; write 300",
        ),
        (
            "{backend: local, limits: {llm_timeout: 1 h}}",
            "projects.p.limits.llm_timeout: times are seconds, without a unit; write 3600",
        ),
        ("{backend: local, limits: {memory: 64 potatoes}}", "projects.p.limits.memory: not a size; write a whole"),
        ("{backend: {type: mock, x: 1}}", "projects.p.backend.x: unknown key; none is allowed here"),
        (
            "{backend: {type: local, isolaton: x}}",
            "projects.p.backend.isolaton: unknown key; did you mean 'isolation'?",
        ),
        (
            "{backend: {type: local, mounts: [{source: a, sise: 1}]}}",
            "projects.p.backend.mounts[0].sise: unknown key; did you mean 'size'?",
        ),
        ("{backend: {type: local, mounts: [{}]}}", "projects.p.backend.mounts[0].source: required"),
        ("{backend: mock, llm: canned}", "projects.p.llm.answers: required"),
        ("{backend: mock, llm: {type: canned, answers: []}}", "projects.p.llm.answers: must be a list of 1 or more"),
        ("{backend: mock, llm: false}", "projects.p.llm: must be a word, or a mapping with a type; available: agent"),
        (
            "{}",
            "projects.p.backend: required; available: local (airlock-local 2.0), mock (airlock-mock 1.0)",
        ),
        ("{backend: {isolation: full}}", "projects.p.backend: needs a type; available: local"),
        ("{backend: [mock]}", "projects.p.backend: must be a word, or a mapping with a type; available: local"),
        ("{backend: {type: [mock]}}", "projects.p.backend: must be a word, or a mapping with a type; available: local"),
    ],
)
def test_mistake_in_a_project_is_told(project: str, told: str, plugins: Plugins) -> None:
    assert problem_in(project, plugins).startswith(told)


def test_values_from_the_environment_are_never_shown(plugins: Plugins) -> None:
    told = problems(
        "server: {port: '${SECRET}'}\n"
        "projects: {p: {backend: mock, replicas: '${SECRET}', packages: ['${SECRET}'], limits: {output: '${SECRET}'}}}",
        plugins,
        SECRET="sk-12 34",
    )
    assert len(told) == 4
    assert "sk-12" not in "".join(told)
