"""Sections of airlock.yaml: numbers, requirements and modules, and what counts as left out."""

import pytest
from tests.config.conftest import load, problems

from airlock.config.sections import check_function, check_module, check_requirement
from airlock.plugins.manager import Plugins


def test_empty_sections_count_as_left_out(plugins: Plugins) -> None:
    loaded = load("server:\nprojects:\ndefault_backend:\n", plugins)
    assert (loaded.server.port, loaded.projects, loaded.unlisted) == (8000, {}, None)


def test_numbers_may_come_from_the_environment(plugins: Plugins) -> None:
    loaded = load(
        "server: {port: '${PORT}'}\nprojects: {p: {backend: mock, replicas: '${N}', limits: {timeout: '${T}'}}}",
        plugins,
        PORT="9000",
        N="2",
        T="30",
    )
    assert (loaded.server.port, loaded.projects["p"].replicas) == (9000, 2)
    assert loaded.projects["p"].project.limits.timeout == 30


def test_numeric_setting_from_the_environment_stays_text(plugins: Plugins) -> None:
    loaded = load("projects: {p: {backend: mock, settings: {TOKEN: '${TOKEN}'}}}", plugins, TOKEN="123")
    assert loaded.projects["p"].settings == {"TOKEN": "123"}


def test_packages_that_are_no_plain_requirements_are_all_refused(plugins: Plugins) -> None:
    text = "projects: {p: {backend: mock, packages: [ok, --index-url=x, ./x, foo.whl, 'a @ https://x', 'a b']}}"
    assert [line.split(": ")[1] for line in problems(text, plugins)] == [
        f"projects.p.packages[{number}]" for number in range(1, 6)
    ]


@pytest.mark.parametrize("text", ["pandas", "pandas[excel,html]>=2.2,<3", "ruamel.yaml", "zope.interface == 6.*"])
def test_plain_requirement_is_accepted(text: str) -> None:
    assert check_requirement(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-r requirements.txt", "options"),
        ("  --pre", "options"),
        ("git+https://example.org/x", "URLs"),
        ("pandas@https://example.org/x.whl", "URLs"),
        ("../pandas", "URLs"),
        ("C:\\pandas", "URLs"),
        ("pandas-2.2.whl", "URLs"),
        ("pandas.tar.gz ", "URLs"),
        ("pandas; python_version < '3.12'", "markers"),
        ("pandas --pre", "not a requirement"),
        ("pandas\n--pre", "not a requirement"),
        ("", "not a requirement"),
    ],
)
def test_other_requirement_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_requirement(text)


@pytest.mark.parametrize("text", ["", ".", "a.", "a b", "a;b", "a-b", "class", "a\n"])
def test_preload_that_is_no_module_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a module"):
        check_module(text)


@pytest.mark.parametrize("text", ["faker.generator:random.seed", "a:b"])
def test_function_of_preload_reseed_is_accepted(text: str) -> None:
    assert check_function(text) == text


@pytest.mark.parametrize("text", ["", "a", "a.b", "a:", ":b", "a:b:c", "a:b()", "a b:c", "a: b", "a:b\n", "a:class"])
def test_other_function_of_preload_reseed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write module:function"):
        check_function(text)
