"""Which airlock.yaml is loaded, what is served without one, and the starter file."""

import os
from pathlib import Path

import pytest
from tests.config.conftest import MockBackend, load, plugin, problems

from airlock.config import find_config, load_config
from airlock.errors import ConfigError
from airlock.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]


# --- which file ------------------------------------------------------------------------------------------------------


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


# --- without a file --------------------------------------------------------------------------------------------------


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


# --- what is read ----------------------------------------------------------------------------------------------------


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


def test_loading_uses_the_environment_of_the_process_by_default(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "AIRLOCK_TEST_DESCRIPTION", "from outside")
    Path("airlock.yaml").write_text("projects: {p: {backend: mock, description: '${AIRLOCK_TEST_DESCRIPTION}'}}")
    assert load_config(Path("airlock.yaml"), plugins).projects["p"].project.description == "from outside"


# --- what is shipped -------------------------------------------------------------------------------------------------


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
    """Operators uncomment these lines: the file must be valid with them, too."""
    uncommented = (ROOT / "airlock.yaml").read_text()
    for key in ("host:", "insecure:", "settings:", "  REPORT:"):
        assert f"# {key}" in uncommented
        uncommented = uncommented.replace(f"# {key}", key)
    loaded = load(uncommented, plugins)
    assert (loaded.server.host, loaded.server.insecure) == ("127.0.0.1", False)
    assert loaded.projects["python"].settings == {"REPORT": "weekly"}
