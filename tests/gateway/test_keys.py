"""API keys: how they are created and configured, and what one client sees of another."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from airlock.api import create_app
from airlock.cli import app as command_line
from airlock.config import load_config
from airlock.config.config import Config
from airlock.errors import ConfigError
from airlock.gateway.keys import KeyRing
from airlock.http.access import AccessPolicy
from airlock.plugins.manager import Plugins
from airlock.plugins.view import Client
from airlock.testing import code_that_asks


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str) -> Config:
        path = tmp_path / "airlock.yaml"
        path.write_text(text)
        return load_config(path, Plugins.discover(), {})

    return load


def problem(load: Load, text: str) -> str:
    """Return the one problem with this file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    [line] = caught.value.problems
    return line[line.index("airlock.yaml") :]


# --- making one ------------------------------------------------------------------------------------------------------


def test_keys_new_prints_the_key_alone_on_stdout_and_what_to_configure_on_stderr() -> None:
    made = CliRunner().invoke(command_line, ["keys", "new", "reports"])
    assert made.exit_code == 0
    key = made.stdout.rstrip("\n")
    assert re.fullmatch(r"airlock_[A-Za-z0-9_-]{43}", key)
    assert key not in made.stderr
    [entry] = yaml.safe_load(made.stderr[made.stderr.index("server:\n  keys:") :])["server"]["keys"]
    assert entry == {"name": "reports", "sha256": sha256(key)}


def test_the_lines_that_keys_new_prints_are_a_valid_configuration(load: Load) -> None:
    said = CliRunner().invoke(command_line, ["keys", "new", "12"]).stderr
    assert [key.name for key in load(said[said.index("server:\n  keys:") :]).server.keys] == ["12"]


def test_two_keys_differ() -> None:
    assert (
        CliRunner().invoke(command_line, ["keys", "new", "a"]).stdout
        != CliRunner().invoke(command_line, ["keys", "new", "a"]).stdout
    )


def test_a_name_that_is_none_ends_keys_new_with_2() -> None:
    refused = CliRunner().invoke(command_line, ["keys", "new", "a b"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "a b: not a name" in refused.stderr


# --- configuring it --------------------------------------------------------------------------------------------------


def test_a_key_itself_in_place_of_its_hash_is_refused_and_not_shown(load: Load) -> None:
    said = problem(load, "server: {keys: [{name: a, sha256: airlock_7Bq}]}")
    assert said.startswith("airlock.yaml:1:27: server.keys[0].sha256: not a SHA-256")
    assert "airlock keys new" in said
    assert "7Bq" not in said


def test_two_keys_of_one_name_are_refused(load: Load) -> None:
    said = problem(load, f"server:\n  keys:\n  - {{name: a, sha256: {'b' * 64}}}\n  - {{name: a, sha256: {'c' * 64}}}")
    assert said == "airlock.yaml:4:6: server.keys[1].name: another key has this name"


def test_one_key_under_two_names_is_refused(load: Load) -> None:
    said = problem(load, f"server: {{keys: [{{name: a, sha256: '{'a' * 64}'}}, {{name: b, sha256: '{'A' * 64}'}}]}}")
    assert said.endswith("server.keys[1].sha256: another entry has the same key")


def test_a_scope_that_names_no_project_is_refused(load: Load) -> None:
    said = problem(
        load,
        f"server: {{keys: [{{name: a, sha256: '{'a' * 64}', projects: [pyhton]}}]}}\n"
        "projects: {python: {backend: mock}}",
    )
    assert said.endswith("server.keys[0].projects[0]: no such project; did you mean 'python'?")


@pytest.mark.parametrize("projects", ["[]", "", "null"])
def test_an_empty_scope_is_refused_and_does_not_mean_everything(load: Load, projects: str) -> None:
    text = f"server:\n  keys:\n  - name: a\n    sha256: '{'a' * 64}'\n    projects: {projects}\n"
    assert "server.keys[0]" in problem(load, text)


def test_with_keys_code_may_be_served_to_other_machines(load: Load) -> None:
    text = f"server: {{keys: [{{name: a, sha256: '{'a' * 64}'}}]}}\nprojects: {{p: {{backend: local}}}}"
    policy = AccessPolicy.of(load(text), {})
    assert (policy.local_only, policy.default_host) == (False, "0.0.0.0")
    policy.check_bind("0.0.0.0")


def test_the_key_of_the_environment_is_not_in_the_repr(load: Load) -> None:
    assert "correct horse" not in repr(AccessPolicy.of(load("projects: {}"), {"AIRLOCK_API_KEY": "correct horse"}))


# --- using it --------------------------------------------------------------------------------------------------------


def test_a_key_is_its_client() -> None:
    ring = KeyRing({bytes.fromhex(sha256("one")): Client("a"), bytes.fromhex(sha256("two")): Client("b")})
    assert [ring.client(key) for key in ("one", "two", "three", "", sha256("one"))] == [
        Client("a"),
        Client("b"),
        None,
        None,
        None,
    ]


TWO_CLIENTS = f"""\
server:
  keys:
  - {{name: alice, sha256: {sha256("alice's key")}}}
  - {{name: bob, sha256: {sha256("bob's key")}, projects: [shared]}}
default_backend: mock
projects:
  private: {{backend: mock}}
  shared: {{backend: mock}}
"""


@pytest.fixture
def client(load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("AIRLOCK_API_KEY", "operator's key")
    with TestClient(create_app(load(TWO_CLIENTS))) as client:
        yield client


def key_of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}'s key"}


def submit(client: TestClient, name: str, **changes: Any) -> str:
    body = {"project": "shared", "code": "x", **changes}
    answer = client.post("/execute", json=body, headers=key_of(name))
    assert answer.status_code == 202, answer.text
    execution_id: str = answer.json()["execution_id"]
    return execution_id


def test_nobody_comes_in_without_a_key(client: TestClient) -> None:
    assert client.get("/projects").status_code == 401
    assert client.get("/projects", headers=key_of("mallory")).status_code == 401


def test_an_execution_is_visible_to_its_key(client: TestClient) -> None:
    path = f"/executions/{submit(client, 'alice')}"
    assert client.get(path, headers=key_of("alice")).json()["status"] == "completed"


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("GET", "?wait=1", None),
        ("GET", "?wait=1&since=99", None),
        ("POST", "/respond", {"response": "x"}),
        ("POST", "/cancel", None),
    ],
)
def test_to_another_key_an_execution_is_as_if_it_had_never_been(
    client: TestClient, method: str, suffix: str, body: dict[str, str] | None
) -> None:
    execution_id = submit(client, "alice", code=code_that_asks("?"))
    seen = client.request(method, f"/executions/{execution_id}{suffix}", json=body, headers=key_of("bob"))
    unknown = client.request(method, f"/executions/{execution_id[::-1]}{suffix}", json=body, headers=key_of("bob"))
    assert seen.status_code == unknown.status_code == 404
    said = {**seen.json(), "request_id": ""}
    assert said == {
        **unknown.json(),
        "request_id": "",
        "detail": unknown.json()["detail"].replace(execution_id[::-1], execution_id),
    }
    still = client.get(f"/executions/{execution_id}", headers=key_of("alice")).json()
    assert still["status"] == "awaiting_llm"


def test_the_operators_key_sees_every_execution(client: TestClient) -> None:
    path = f"/executions/{submit(client, 'alice')}"
    assert client.get(path, headers=key_of("operator")).status_code == 200


def test_the_operators_executions_are_visible_to_no_other_key(client: TestClient) -> None:
    path = f"/executions/{submit(client, 'operator')}"
    assert client.get(path, headers=key_of("alice")).status_code == 404


@pytest.mark.parametrize("name", ["private", "never-heard-of"])
@pytest.mark.parametrize("path", ["/execute", "/projects/{}/up", "/projects/{}/down"])
def test_a_project_outside_of_a_keys_scope_does_not_exist_for_it(client: TestClient, path: str, name: str) -> None:
    body = {"project": name, "code": "x"} if path == "/execute" else None
    answer = client.post(path.format(name), json=body, headers=key_of("bob"))
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert answer.json()["detail"] == f"no project '{name}'; this key may use: shared"


def test_only_the_projects_of_a_keys_scope_are_listed(client: TestClient) -> None:
    def listed(name: str) -> list[str]:
        return [project["name"] for project in client.get("/projects", headers=key_of(name)).json()["projects"]]

    assert listed("bob") == ["shared"]
    assert listed("alice") == listed("operator") == ["private", "shared"]
