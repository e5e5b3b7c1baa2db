"""airlock.yaml against what is installed: what it means, and how each mistake is told."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import Field

from airlock import (
    AskAgent,
    Backend,
    BackendSettings,
    Job,
    LLMRequest,
    Mediator,
    MediatorSettings,
    Outcome,
    Pool,
    Run,
    hookimpl,
)
from airlock.config import Config, find_config, load_config
from airlock.config.json_schema import json_schema
from airlock.config.sections import check_module, check_requirement
from airlock.errors import ConfigError
from airlock.models import MAX_REPLICAS
from airlock.plugins.manager import Plugins
from airlock.plugins.plugin import Source

ROOT = Path(__file__).parents[2]


class MockBackend(Backend[BackendSettings]):
    type = "mock"
    runs_code = False
    uses = frozenset({"packages", "preload"})

    async def scale(self, replicas: int) -> None:
        pass

    def pool(self) -> Pool:
        return Pool(replicas=0, idle=0)

    async def execute(self, job: Job, run: Run) -> Outcome:
        return Outcome()


class PlainBackend(MockBackend):
    type = "plain"
    uses = frozenset()


class Mount(BackendSettings):
    source: str
    size: int = Field(1, ge=1)


class LocalSettings(BackendSettings):
    isolation: str = "full"
    mounts: list[Mount] = Field([])


class LocalBackend(MockBackend):
    type = "local"
    runs_code = True
    enforces = frozenset({"memory", "processes"})
    Settings = LocalSettings


class CannedSettings(MediatorSettings):
    answers: list[str] = Field(min_length=1)


class CannedMediator(Mediator[CannedSettings]):
    type = "canned"
    Settings = CannedSettings

    async def complete(self, request: LLMRequest, ask_agent: AskAgent) -> str:
        return self.settings.answers[0]


def plugin(**returns: object) -> SimpleNamespace:
    """A plugin whose hooks return these values."""

    def hook(value: object) -> Callable[[], Any]:
        return hookimpl(lambda: value)

    return SimpleNamespace(**{f"airlock_register_{name}": hook(value) for name, value in returns.items()})


@pytest.fixture
def plugins() -> Plugins:
    plugins = Plugins()
    plugins.register(
        plugin(
            backends=[MockBackend], mediators=[CannedMediator], projects={"demo": {"replicas": 3, "backend": "mock"}}
        ),
        Source("mock", "airlock-mock", "1.0"),
    )
    plugins.register(plugin(backends=[LocalBackend]), Source("local", "airlock-local", "2.0"))
    plugins.register(plugin(backends=[PlainBackend]), Source("plain", "airlock-plain", "3.0"))
    return plugins


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, plugins: Plugins, **environ: str) -> Config:
    Path("airlock.yaml").write_text(text)
    return load_config(Path("airlock.yaml"), plugins, environ)


def problems(text: str, plugins: Plugins, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, plugins, **environ)
    return caught.value.problems


def problem_in(project: str, plugins: Plugins) -> str:
    """The only problem of a project, given in flow style; without the place."""
    (told,) = problems(f"projects: {{p: {project}}}\n", plugins)
    place, told = told.split(": ", 1)
    assert place.startswith("airlock.yaml:1:")
    return told


# --- which file ----------------------------------------------------------------------------------------------------


def test_explicit_path_wins(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml", "airlock.yaml"):
        (tmp_path / name).touch()
    assert find_config(Path("a.yaml"), {"AIRLOCK_CONFIG": "b.yaml"}) == Path("a.yaml")


def test_environment_wins_over_the_folder(tmp_path: Path) -> None:
    for name in ("b.yaml", "airlock.yaml"):
        (tmp_path / name).touch()
    assert find_config(None, {"AIRLOCK_CONFIG": "b.yaml"}) == Path("b.yaml")


def test_folder_is_looked_at_last(tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").touch()
    assert find_config(None, {}) == Path("airlock.yaml")


@pytest.mark.parametrize("value", ["", " "])
def test_a_variable_that_is_empty_means_no_other_file(tmp_path: Path, value: str) -> None:
    (tmp_path / "airlock.yaml").touch()
    with pytest.raises(ConfigError, match="AIRLOCK_CONFIG is set and empty"):
        find_config(None, {"AIRLOCK_CONFIG": value})
    assert find_config(Path("airlock.yaml"), {"AIRLOCK_CONFIG": value}) == Path("airlock.yaml")


@pytest.mark.parametrize("text", ["", "\n", "# server: {}\n", "---\n", "{}", "null"])
def test_an_empty_file_does_not_mean_the_defaults(plugins: Plugins, text: str) -> None:
    assert problems(text, plugins) == [
        "airlock.yaml:1:1: the file is empty; 'airlock init --force airlock.yaml' writes one to start from"
    ]


def test_another_ending_is_told_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "airlock.yml").touch()
    with pytest.raises(ConfigError, match=r"airlock\.yml: Airlock reads airlock\.yaml; rename it"):
        find_config(None, {})


def test_without_any_file_there_is_none() -> None:
    assert find_config(None, {}) is None


@pytest.mark.parametrize(
    ("explicit", "environ", "origin"),
    [(Path("no.yaml"), {}, "--config"), (None, {"AIRLOCK_CONFIG": "no.yaml"}, "$AIRLOCK_CONFIG")],
)
def test_file_that_is_asked_for_must_exist(explicit: Path | None, environ: dict[str, str], origin: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config(explicit, environ)
    assert caught.value.problems == [f"no.yaml: no such file ({origin} names it)"]


def test_dangling_link_is_an_error_and_not_an_absent_file(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "airlock.yaml").symlink_to("gone.yaml")
    path = find_config(None, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path, plugins, {})


# --- what it means -------------------------------------------------------------------------------------------------


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
    assert project.settings == {"REPORT": "weekly"}
    limits = project.project.limits
    assert (limits.memory, limits.timeout, limits.shutdown_grace) == (64 << 20, 5, 0.5)
    assert project.mediator is CannedMediator
    assert project.mediator_settings == CannedSettings(answers=["42"])
    assert project.backend_settings == LocalSettings(isolation="reduced", mounts=[Mount(source="data")])


def test_empty_sections_count_as_left_out(plugins: Plugins) -> None:
    loaded = load("server:\nprojects:\ndefault_backend:\n", plugins)
    assert (loaded.server.port, loaded.projects, loaded.unlisted) == (8000, {}, None)


def test_empty_keys_of_a_project_count_as_left_out(plugins: Plugins) -> None:
    project = load("projects: {p: {backend: mock, limits: , packages: , llm: , replicas: }}", plugins).projects["p"]
    assert (project.replicas, project.project.packages, project.mediator.type) == (1, (), "agent")


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


def test_runs_code_if_one_project_does(plugins: Plugins) -> None:
    assert not load("projects: {p: {backend: mock}}", plugins).runs_code
    assert load("projects: {p: {backend: mock}, q: {backend: local}}", plugins).runs_code


# --- names that are not listed -------------------------------------------------------------------------------------


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


def test_default_backend_that_runs_code_is_refused(plugins: Plugins) -> None:
    assert problems("default_backend: local", plugins) == [
        "airlock.yaml:1:1: default_backend: local runs code: list each project that may use it, with 'backend: local'"
    ]


# --- without a file ------------------------------------------------------------------------------------------------


def test_without_a_file_plugins_projects_are_listed_and_mock_serves_the_rest(plugins: Plugins) -> None:
    loaded = load_config(None, plugins, {})
    assert {name: project.replicas for name, project in loaded.projects.items()} == {"demo": 3}
    other = loaded.project("other")
    assert other is not None
    assert other.backend is MockBackend
    assert (loaded.path, loaded.runs_code, loaded.server.port) == (None, False, 8000)


def test_without_a_file_and_without_mock_no_other_name_is_served() -> None:
    loaded = load_config(None, Plugins(), {})
    assert loaded.project("other") is None
    assert "airlock init" in loaded.warnings[0]


def test_without_a_file_a_bad_project_of_a_plugin_is_left_out_with_a_warning(plugins: Plugins) -> None:
    plugins.register(plugin(projects={"bad": {"backend": "mock", "replica": 2}}))
    loaded = load_config(None, plugins, {})
    assert list(loaded.projects) == ["demo"]
    assert any("projects.bad.replica: unknown key; did you mean 'replicas'?" in told for told in loaded.warnings)


# --- mistakes ------------------------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once_in_the_order_of_the_file(plugins: Plugins) -> None:
    told = problems(
        "server: {prt: 1}\n"
        "projects:\n"
        "  python:\n"
        "    pakages: [x]\n"
        "    replicas: many\n"
        "    backend: {type: local, isolatoin: full}\n"
        "  other:\n"
        "    limits: {cpus: 2}\n"
        "    llm: oracle\n"
        "    backend: local\n"
        "prjects: {}\n",
        plugins,
    )
    assert [line.split(": ")[:2] for line in told] == [
        ["airlock.yaml:1:10", "server.prt"],
        ["airlock.yaml:4:5", "projects.python.pakages"],
        ["airlock.yaml:5:5", "projects.python.replicas"],
        ["airlock.yaml:6:28", "projects.python.backend.isolatoin"],
        ["airlock.yaml:8:14", "projects.other.limits.cpus"],
        ["airlock.yaml:9:5", "projects.other.llm"],
        ["airlock.yaml:11:1", "prjects"],
    ]


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


@pytest.mark.parametrize("name", ["a b", "../x", "-x", '"a\\0b"', '"a\\n"', '""', "x" * 65])
def test_bad_name_for_a_project_is_refused(name: str, plugins: Plugins) -> None:
    (told,) = problems(f"projects: {{{name}: {{backend: mock}}}}", plugins)
    assert "not a name: 1 to 64" in told
    assert "\n" not in told


def test_values_from_the_environment_are_never_shown(plugins: Plugins) -> None:
    told = problems(
        "server: {port: '${SECRET}'}\n"
        "projects: {p: {backend: mock, replicas: '${SECRET}', packages: ['${SECRET}'], limits: {output: '${SECRET}'}}}",
        plugins,
        SECRET="sk-12 34",
    )
    assert len(told) == 4
    assert "sk-12" not in "".join(told)


def test_limit_that_the_backend_cannot_enforce_is_refused_with_what_it_can(plugins: Plugins) -> None:
    assert problem_in("{backend: local, limits: {cpus: 2, timeout: 5}}", plugins) == (
        "projects.p.limits.cpus: backend local cannot enforce this limit (it enforces: memory, processes); "
        "remove the limit or choose another backend"
    )


@pytest.mark.parametrize("key", ["packages", "preload"])
def test_key_that_the_backend_does_not_use_is_refused_where_it_stands(key: str, plugins: Plugins) -> None:
    text = f"projects:\n  p:\n    backend: plain\n    {key}: [pandas]\n"
    assert problems(text, plugins) == [
        f"airlock.yaml:4:5: projects.p.{key}: backend plain does not use this key; remove it or choose another backend"
    ]
    assert load(text.replace("[pandas]", "[]"), plugins).projects
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
    assert "(test_load.py, line " in told


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


# --- what is shipped -----------------------------------------------------------------------------------------------


def test_shipped_file_is_the_starter_file() -> None:
    assert (ROOT / "airlock.yaml").readlink() == Path("src/airlock/config/starter.yaml")


def test_shipped_file_is_valid(plugins: Plugins) -> None:
    loaded = load_config(ROOT / "airlock.yaml", plugins, {})
    mock, python = loaded.projects["mock-project"], loaded.projects["python"]
    assert (mock.project.description, mock.replicas) == ("A mock project for testing", 1)
    assert mock.project.packages == ("requests", "pandas")
    assert (python.backend.type, python.replicas, python.project.preload) == ("local", 2, ("pandas",))
    assert loaded.unlisted is not None


def test_shipped_file_states_the_defaults_that_it_mentions(plugins: Plugins) -> None:
    """The commented-out lines are what an operator will uncomment: with them the file is valid as well."""
    uncommented = (ROOT / "airlock.yaml").read_text()
    for key in ("host:", "insecure:", "settings:", "  REPORT:"):
        assert f"# {key}" in uncommented
        uncommented = uncommented.replace(f"# {key}", key)
    loaded = load(uncommented, plugins)
    assert (loaded.server.host, loaded.server.insecure) == ("127.0.0.1", False)
    assert loaded.projects["python"].settings == {"REPORT": "weekly"}


def test_json_schema_is_one_and_the_shipped_file_conforms(plugins: Plugins) -> None:
    schema = json_schema(plugins)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((ROOT / "airlock.yaml").read_text()), schema)


class Indescribable(BackendSettings):
    hook: Callable[[], None] | None = None


class IndescribableBackend(MockBackend):
    type = "indescribable"
    Settings = Indescribable


def test_options_that_json_schema_cannot_say_hurt_no_other_plugin(plugins: Plugins) -> None:
    plugins.register(plugin(backends=[IndescribableBackend]), Source("x", "airlock-x", "1.0"))
    schema = json_schema(plugins)
    jsonschema.validate({"projects": {"p": {"backend": {"type": "indescribable", "hook": None}}}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"projects": {"p": {"backend": {"type": "local", "isolatoin": "full"}}}}, schema)


def test_json_schema_without_any_backend_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(Plugins()))


@pytest.mark.parametrize(
    "text",
    [
        "{projects: {p: {backend: {type: local, isolation: full, mounts: [{source: a}]}}}}",
        "{projects: {p: {backend: local, llm: {type: canned, answers: [a]}, limits: {memory: 64MiB, timeout: 5}}}}",
        "{server: {port: 80}, default_backend: mock}",
    ],
)
def test_json_schema_accepts_what_is_valid(text: str, plugins: Plugins) -> None:
    load(text, plugins)
    jsonschema.validate(yaml.safe_load(text), json_schema(plugins))


@pytest.mark.parametrize(
    "text",
    [
        "{projects: {p: {}}}",
        "{projects: {p: {backend: nosuch}}}",
        "{projects: {p: {backend: {type: local, isolatoin: full}}}}",
        "{projects: {p: {backend: {type: local, mounts: [{}]}}}}",
        "{projects: {p: {backend: mock, llm: canned}}}",
        "{projects: {p: {backend: mock, limits: {tmeout: 5}}}}",
        "{projects: {'a b': {backend: mock}}}",
        "{default_backend: local}",
        "{server: {prt: 80}}",
        "{prjects: {}}",
    ],
)
def test_json_schema_refuses_what_is_refused(text: str, plugins: Plugins) -> None:
    assert problems(text, plugins)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema(plugins))


def test_loading_uses_the_environment_of_the_process_by_default(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AIRLOCK_TEST_DESCRIPTION", "from outside")
    Path("airlock.yaml").write_text("projects: {p: {backend: mock, description: '${AIRLOCK_TEST_DESCRIPTION}'}}")
    assert load_config(Path("airlock.yaml"), plugins).projects["p"].project.description == "from outside"
