"""Who may talk to a server that has keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from tests.http.conftest import request_from, status_of

from airlock.api import create_app
from airlock.config.config import Config
from airlock.errors import ConfigError
from airlock.gateway.keys import KeyRing, sha256
from airlock.http.access import AccessPolicy


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("AIRLOCK_API_KEY", "correct horse")
    return TestClient(create_app())


def test_the_right_key_opens(keyed: TestClient) -> None:
    assert keyed.get("/projects", headers={"Authorization": "Bearer correct horse"}).status_code == 200


def test_the_scheme_is_not_case_sensitive(keyed: TestClient) -> None:
    assert keyed.get("/projects", headers={"Authorization": "bearer correct horse"}).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "correct horse",
        "Basic correct horse",
        "Bearer correct",
        "Bearer Correct Horse",
        "Bearer correct horse battery",
        "Bearer \xe9",
    ],
)
def test_a_wrong_or_missing_key_is_401_and_says_how_to_send_it(keyed: TestClient, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode("latin-1"))]
    response = keyed.get("/projects", headers=httpx.Headers(headers))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert "Authorization: Bearer" in response.json()["detail"]
    assert "horse" not in response.text
    is_key = (authorization or "").removeprefix("Bearer").strip() and (authorization or "").startswith("Bearer")
    assert ("unknown key" in response.json()["detail"]) is bool(is_key)


@pytest.mark.parametrize(
    "path", ["/projects", "/openapi.json", "/docs", "/executions/x", "/health/", "//health", "/nope"]
)
def test_everything_but_health_needs_the_key(keyed: TestClient, path: str) -> None:
    assert keyed.get(f"http://testserver{path}").status_code == 401


def test_health_is_open(keyed: TestClient) -> None:
    assert keyed.get("/health").json() == {"status": "ok"}


def test_with_a_key_host_and_origin_do_not_matter() -> None:
    policy = AccessPolicy(keys=KeyRing.of([], "k"), local_only=False)
    scope = request_from(client="203.0.113.9", host="x.example", origin="https://y.example", authorization="Bearer k")
    assert status_of(policy, scope) is None


@pytest.mark.parametrize("key", ["", " ", "\t", "schlüssel", "a\nb", "a\0b"])
def test_a_useless_key_is_a_configuration_error(mock_alone: Config, key: str) -> None:
    with pytest.raises(ConfigError, match="AIRLOCK_API_KEY"):
        AccessPolicy.of(mock_alone, {"AIRLOCK_API_KEY": key})


def test_keys_are_shown_nowhere(serve: Callable[..., Any], tmp_path: Path) -> None:
    """Neither valid nor wrong keys appear in logs, responses, the store, or what `ps` shows."""
    good, operators, wrong = (f"airlock_{name}{'x' * 30}" for name in ("good", "operators", "wrong"))
    config = f"""
store: {{type: sqlite, path: s.db}}
server: {{keys: [{{name: alice, sha256: {sha256(good)}, projects: [p], rate: 3/hour}}]}}
projects: {{p: {{backend: scripted}}, other: {{backend: scripted, replicas: 0}}}}
"""
    server = serve(config, AIRLOCK_API_KEY=operators)
    said: list[str] = []
    with httpx.Client(base_url=server.url.replace("0.0.0.0", "127.0.0.1"), timeout=30) as client:
        for key in (good, operators, wrong, f"{wrong} {good}"):
            for scheme in ("Bearer", "Basic"):
                headers = {"Authorization": f"{scheme} {key}"}
                for path in ("/projects", "/openapi.json", "/docs", "/executions", "/ready", "/executions/x", "/nope"):
                    answer = client.get(path, headers=headers)
                    said.append(f"{answer.headers} {answer.text}")
                for project in ("p", "other", "p", "p"):
                    body = {"project": project, "code": "fail x"}
                    answer = client.post("/execute?wait=5", json=body, headers=headers)
                    said.append(f"{answer.headers} {answer.text}")
        processes = (server.process.pid, *server.children())
        said += [Path(f"/proc/{process}/cmdline").read_text() for process in processes]
    server.process.terminate()
    assert server.ended() == 0
    said += server.printed
    said += [file.read_bytes().decode(errors="replace") for file in tmp_path.glob("s.db*")]
    assert [code for code in ("unauthorized", "project_not_found", "rate_exceeded") if code not in str(said)] == []
    for secret in (good, operators, wrong, sha256(good), sha256(operators)):
        assert not [text for text in said if secret in text]
