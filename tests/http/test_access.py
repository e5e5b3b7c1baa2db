"""Who may talk to a server: the key, and what counts as this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from airlock.api import create_app
from airlock.config import load_config
from airlock.config.config import Config
from airlock.errors import ConfigError, RequestError
from airlock.gateway.keys import KeyRing, sha256
from airlock.http.access import AccessPolicy, is_local
from airlock.plugins.manager import Plugins

MOCK_ALONE = "projects: {p: {backend: mock}}\n"


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins.discover()


@pytest.fixture
def mock_alone(tmp_path: Path, plugins: Plugins) -> Config:
    path = tmp_path / "airlock.yaml"
    path.write_text(MOCK_ALONE)
    return load_config(path, plugins, {})


def request_from(server: str | None = "127.0.0.1", client: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    """Make the scope of a request that came over a socket."""
    return {
        "type": "http",
        "method": "GET",
        "path": "/projects",
        "server": server and (server, 8000),
        "client": (client, 40000),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
    }


def status_of(policy: AccessPolicy, scope: dict[str, Any]) -> int | None:
    try:
        policy.admit(scope)
    except RequestError as error:
        return error.status
    return None


# --- with a key ------------------------------------------------------------------------------------------------------


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
    """Not in the log, not in what is answered, not in the store, not where `ps` looks; nor those that do not fit."""
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


# --- without a key ---------------------------------------------------------------------------------------------------


def test_mock_alone_listens_everywhere(mock_alone: Config) -> None:
    policy = AccessPolicy.of(mock_alone, {})
    assert (policy.local_only, policy.default_host) == (False, "0.0.0.0")
    policy.check_bind("0.0.0.0")


LOCAL_ONLY = AccessPolicy(keys=KeyRing({}), local_only=True)


def test_where_code_runs_the_default_host_is_loopback() -> None:
    assert LOCAL_ONLY.default_host == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.7", "example.com", "localhost.evil.com", "127.1"])
def test_where_code_runs_a_host_that_others_reach_is_refused_with_the_remedy(host: str) -> None:
    with pytest.raises(ConfigError, match="set AIRLOCK_API_KEY"):
        LOCAL_ONLY.check_bind(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_where_code_runs_loopback_is_accepted(host: str) -> None:
    LOCAL_ONLY.check_bind(host)


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "localhost.", "127.0.0.1", "127.255.255.254", "::1", "[::1]", "0:0:0:0:0:0:0:1"]
)
def test_local_hosts(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "localhost.evil.com",
        "evil-localhost",
        "127.0.0.1.nip.io",
        "127.0.0.1.",
        "128.0.0.1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "169.254.169.254",
        "2130706433",
        "0x7f000001",
        "127.1",
        "::ffff:10.0.0.1",
        "localhost\\.evil.com",
        "localhost\0",
        "ⅼocalhost",
    ],
)
def test_hosts_that_are_not_certainly_local(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST:8000", "localhost.:8000", "127.0.0.1:8000", "[::1]", "[::1]:8000"],
)
def test_a_local_host_header_passes(host: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.com",
        "evil.com:8000",
        "localhost.evil.com",
        "127.0.0.1.evil.com:8000",
        "localhost@evil.com",
        "localhost:x@evil.com",
        "evil.com/localhost",
        "[::1",
        "[::ffff:10.0.0.1]:8000",
        "0.0.0.0:8000",
        "localhost, evil.com",
    ],
)
def test_dns_rebinding_is_403(host: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(host=host)) == 403


def test_a_request_without_host_is_403() -> None:
    assert status_of(LOCAL_ONLY, request_from()) == 403


@pytest.mark.parametrize(
    "origin", ["http://localhost", "http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"]
)
def test_a_page_of_this_machine_passes(origin: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(host="localhost:8000", origin=origin)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "file://",
        "localhost",
        "https://evil.com",
        "http://localhost.evil.com",
        "http://localhost@evil.com",
        "http://[::1",
        "chrome-extension://localhost.x",
        "http://192.168.0.7",
    ],
)
def test_a_foreign_page_is_403(origin: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(host="localhost:8000", origin=origin)) == 403


def test_a_client_on_another_machine_is_403() -> None:
    assert status_of(LOCAL_ONLY, request_from(client="192.168.0.7", host="localhost:8000")) == 403


@pytest.mark.parametrize("server", ["testserver", None])
def test_what_came_over_no_tcp_socket_is_not_asked_for_its_host(server: str | None) -> None:
    assert status_of(LOCAL_ONLY, request_from(server=server, host="testserver")) is None


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "10.0.0.1"])
def test_what_came_over_a_tcp_socket_is_asked_for_its_host(server: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(server=server, host="testserver")) == 403


@pytest.mark.parametrize("name", ["host", "origin"])
@pytest.mark.parametrize("foreign_first", [True, False])
def test_a_header_that_comes_twice_is_local_only_if_both_are(name: str, foreign_first: bool) -> None:
    scope = request_from(host="localhost")
    values = [b"http://evil.com", b"http://localhost"] if name == "origin" else [b"evil.com", b"localhost"]
    scope["headers"] += [(name.encode(), value) for value in (values if foreign_first else values[::-1])]
    assert status_of(LOCAL_ONLY, scope) == 403


def test_what_a_foreign_page_embeds_or_fetches_without_origin_is_403() -> None:
    for destination in ("image", "script", "empty", "iframe"):
        scope = request_from(host="localhost", sec_fetch_site="cross-site", sec_fetch_dest=destination)
        assert status_of(LOCAL_ONLY, scope) == 403


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
def test_what_a_page_of_this_machine_fetches_passes(site: str) -> None:
    assert status_of(LOCAL_ONLY, request_from(host="localhost", sec_fetch_site=site)) is None


def test_a_link_from_elsewhere_may_be_followed_but_not_posted() -> None:
    followed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    scope = request_from(host="localhost", **followed)
    assert status_of(LOCAL_ONLY, scope) is None
    assert status_of(LOCAL_ONLY, {**scope, "method": "POST"}) == 403
