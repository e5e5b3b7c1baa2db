"""Who may use a server without keys: what counts as this machine, and what web pages can make its browsers send."""

import httpx
import pytest
from tests.http.conftest import BODY, request_from, status_of

from airlock.config.config import Config
from airlock.errors import ConfigError
from airlock.gateway.keys import KeyRing
from airlock.http.access import AccessPolicy


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
        "evil.example@127.0.0.1",
        "[::1]evil.example",
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
        "http://evil.example@127.0.0.1",
        "http://[::1]evil.example",
        "http://localhost/",
        "ftp://localhost",
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


# --- browsers --------------------------------------------------------------------------------------------------------

PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}, 403),
        ("POST", {**PAGE, "Content-Type": "text/plain"}, 403),
        ("POST", {**PAGE, "Content-Type": "application/json", "Sec-Fetch-Mode": "cors"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 403),
        ("POST", {"Host": "rebound.example", "Content-Type": "application/json"}, 403),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {}, 415),
        ("OPTIONS", {**PAGE, "Access-Control-Request-Method": "POST"}, 403),
        ("OPTIONS", {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}, 405),
    ],
    ids=str,
)
def test_a_page_in_a_browser_runs_nothing(api: httpx.Client, method: str, headers: dict[str, str], status: int) -> None:
    before = api.get("/executions").json()
    refused = api.request(method, "/execute", content=BODY, headers=headers)
    assert refused.status_code == status
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    assert api.get("/executions").json()["executions"][:1] == before["executions"][:1]
