"""The REST API as clients see it: first the contract of the mock backend, then bad input."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from airlock.api import app, create_app
from airlock.testing import code_that_asks


@pytest.fixture
def client() -> TestClient:
    return TestClient(app)


@pytest.fixture
def served() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_health(client: TestClient) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


def test_execute_returns_202(client: TestClient) -> None:
    response = client.post("/execute", json={"project": "mock-project", "code": "print('hi')"})
    assert response.status_code == 202
    body = response.json()
    assert body == {"execution_id": str(uuid.UUID(body["execution_id"])), "status": "pending"}
    assert response.headers["location"] == f"/executions/{body['execution_id']}"


def test_poll_execution(client: TestClient) -> None:
    created = client.post("/execute", json={"project": "mock-project", "code": "print('hi')"}).json()
    response = client.get(f"/executions/{created['execution_id']}")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "completed"
    assert body["result"] == {"echo": "print('hi')"}
    assert body["stdout"] == "print('hi')"
    assert body["stderr"] == ""
    assert body["error"] is None
    assert body["llm_request"] is None
    assert body["memory_updates"] == {}
    assert isinstance(body["execution_time_ms"], int)


def test_any_project_name_is_echoed(client: TestClient) -> None:
    created = client.post("/execute", json={"project": "whatever", "code": "x"}).json()
    assert client.get(f"/executions/{created['execution_id']}").json()["result"] == {"echo": "x"}


def test_poll_not_found(client: TestClient) -> None:
    response = client.get("/executions/nope")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "execution_not_found"


def test_respond_to_unknown_execution_is_404(client: TestClient) -> None:
    assert client.post("/executions/nope/respond", json={"response": "x"}).status_code == 404


def test_respond_requires_awaiting_llm(client: TestClient) -> None:
    created = client.post("/execute", json={"project": "mock-project", "code": "x"}).json()
    response = client.post(f"/executions/{created['execution_id']}/respond", json={"response": "hello"})
    assert response.status_code == 409
    assert response.json()["code"] == "not_awaiting_llm"
    assert "completed" in response.json()["detail"]


def test_answer_completes_a_paused_execution(served: TestClient) -> None:
    created = served.post("/execute", json={"project": "mock-project", "code": code_that_asks("how many?")}).json()
    url = f"/executions/{created['execution_id']}"
    paused = served.get(url).json()
    assert paused["status"] == "awaiting_llm"
    shown = paused["llm_request"]
    assert (shown["prompt"], shown["model"], shown["id"]) == ("how many?", "default", 1)
    answered = served.post(f"{url}/respond", json={"response": "42"})
    assert answered.status_code == 200
    assert answered.json()["status"] == "completed"
    assert answered.json()["result"]["answer"] == "42"
    assert served.post(f"{url}/respond", json={"response": "43"}).status_code == 409
    assert served.get(url).json()["result"]["answer"] == "42"


@pytest.mark.anyio
async def test_answer_completes_a_paused_execution_without_lifespan() -> None:
    transport = httpx.ASGITransport(app=create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        created = (await client.post("/execute", json={"project": "any", "code": code_that_asks("why?")})).json()
        url = f"/executions/{created['execution_id']}"
        assert (await client.get(url)).json()["llm_request"]["prompt"] == "why?"
        answered = await client.post(f"{url}/respond", json={"response": "because"})
        assert answered.json()["status"] == "completed"
        assert (await client.get(url)).json()["result"]["answer"] == "because"


def test_cancel_ends_an_execution_that_awaits_an_answer(served: TestClient) -> None:
    created = served.post("/execute?wait=5", json={"project": "mock-project", "code": code_that_asks("?")})
    path = f"/executions/{created.json()['execution_id']}"
    cancelled = served.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["error_type"]) == (200, "cancelled")
    assert served.post(f"{path}/respond", json={"response": "x"}).status_code == 409
    assert served.post(f"{path}/cancel").json() == cancelled.json() == served.get(path).json()


def test_cancel_leaves_a_completed_execution_as_it_is(client: TestClient) -> None:
    created = client.post("/execute", json={"project": "mock-project", "code": "x"}).json()
    answer = client.post(f"/executions/{created['execution_id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_cancel_of_an_unknown_execution_is_404(client: TestClient) -> None:
    answer = client.post("/executions/nobody/cancel")
    assert (answer.status_code, answer.json()["code"]) == (404, "execution_not_found")


def test_projects_list(client: TestClient) -> None:
    response = client.get("/projects")
    assert response.status_code == 200
    [project] = response.json()["projects"]
    expected = {
        "name": "mock-project",
        "description": "A mock project for testing",
        "status": "up",
        "replicas": 1,
        "idle_workers": 1,
        "packages": ["requests", "pandas"],
    }
    assert {key: project[key] for key in expected} == expected


def test_projects_list_without_a_file_is_what_plugins_register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRLOCK_CONFIG")
    monkeypatch.chdir(tmp_path)
    projects = TestClient(create_app()).get("/projects").json()["projects"]
    assert [(p["name"], p["status"], p["idle_workers"]) for p in projects] == [("mock-project", "up", 1)]


def test_project_up(client: TestClient) -> None:
    response = client.post("/projects/mock-project/up", json={"replicas": 3})
    assert response.status_code == 200
    assert response.json() == {"name": "mock-project", "status": "up", "replicas": 3}
    client.post("/projects/mock-project/up")


def test_project_up_without_a_body_keeps_one_replica(client: TestClient) -> None:
    assert client.post("/projects/other/up").json() == {"name": "other", "status": "up", "replicas": 1}


def test_project_down(client: TestClient) -> None:
    response = client.post("/projects/mock-project-2/down")
    assert response.status_code == 200
    assert response.json() == {"name": "mock-project-2", "status": "down", "replicas": 0}


def test_project_that_was_put_down_takes_nothing_until_it_is_up_again() -> None:
    client = TestClient(create_app())
    client.post("/projects/p/down")
    refused = client.post("/execute", json={"project": "p", "code": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "project_down")
    client.post("/projects/p/up")
    assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202


def test_unlisted_project_is_404_without_default_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "airlock.yaml"
    config.write_text("projects: {only: {backend: mock}}\n")
    monkeypatch.setenv("AIRLOCK_CONFIG", str(config))
    response = TestClient(create_app()).post("/execute", json={"project": "onyl", "code": "x"})
    assert (response.status_code, response.json()["code"]) == (404, "project_not_found")
    assert "only" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "x"}, "body.project"),
        ({"project": "p"}, "body.code"),
        ({"project": "p", "code": 1}, "body.code"),
        ({"project": "p", "code": "x", "timeout": 0}, "body.timeout"),
        ({"project": "p", "code": "x", "timeout": -1}, "body.timeout"),
        ({"project": "p", "code": "x", "timeout": 10**9}, "body.timeout"),
        ({"project": "p", "code": "x", "timeout": "5"}, "body.timeout"),
        ({"project": "p", "code": "x", "timeout": 1.5}, "body.timeout"),
        ({"project": "p", "code": "x", "timeout": True}, "body.timeout"),
        ({"project": "p", "code": "x", "settings": {"a": 1}}, "body.settings.a"),
        ({"project": "p", "code": "x", "memory": []}, "body.memory"),
        ({"project": "p", "code": "x", "tiemout": 5}, "body.tiemout"),
        ({"project": "../etc", "code": "x"}, "body.project"),
        ({"project": "a\0b", "code": "x"}, "body.project"),
        ({"project": "p\n", "code": "x"}, "body.project"),
        ({"project": "", "code": "x"}, "body.project"),
        ({"project": "p" * 65, "code": "x"}, "body.project"),
        ([], "body"),
    ],
)
def test_bad_execution_request_is_422_and_names_the_field(client: TestClient, body: object, field: str) -> None:
    response = client.post("/execute", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid_request"
    assert [error["location"] for error in problem["errors"]] == [field]


def test_an_integer_may_be_written_with_a_point(client: TestClient) -> None:
    body = b'{"project": "p", "code": "x", "timeout": 60.0}'
    response = client.post("/execute", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"project": "p", "code": "x", "memory": {"a.b": NaN}}',
        b'{"project": "p", "code": "x", "memory": {"a.b": 1e999}}',
        b'{"project": "p", "code": "\\ud800"}',
        b'{"project": "p", "code": "x", "code": "y"}',
        b'{"project": "p", "code": "x", "memory": {"a.b": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
        b'{"project": "p", "code": "x", "memory": {"a.b": ' + b"9" * 100_000 + b"}}",
    ],
    ids=["cut", "empty", "not utf-8", "nan", "infinity", "surrogate", "duplicate", "deep", "digits"],
)
def test_body_that_is_not_strict_json_is_refused(client: TestClient, body: bytes) -> None:
    response = client.post("/execute", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_body_of_another_media_type_is_415(client: TestClient, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    response = client.post("/execute", content=b'{"project": "p", "code": "x"}', headers=headers)
    assert response.status_code == 415
    assert response.headers["content-type"] == "application/problem+json"


def test_huge_body_is_413(client: TestClient) -> None:
    response = client.post("/execute", json={"project": "p", "code": "x" * (17 << 20)})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


def test_surrogate_pair_is_text(client: TestClient) -> None:
    body = json.dumps({"project": "p", "code": "'😀'"})
    assert "\\ud83d" in body
    created = client.post("/execute", content=body, headers={"Content-Type": "application/json"}).json()
    assert client.get(f"/executions/{created['execution_id']}").json()["stdout"] == "'😀'"


@pytest.mark.parametrize("replicas", [0, -1, 10**9, "2", 1.5, None])
def test_bad_pool_request_is_422(client: TestClient, replicas: object) -> None:
    response = client.post("/projects/mock-project/up", json={"replicas": replicas})
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == "body.replicas"


def test_replicas_over_the_project_limit_is_422_and_names_the_key(client: TestClient) -> None:
    response = client.post("/projects/mock-project/up", json={"replicas": 65})
    assert response.status_code == 422
    assert "limits.max_replicas" in response.json()["detail"]


@pytest.mark.parametrize("name", ["..%2Fetc", "a%00b", "%20", "x" * 65])
def test_bad_project_name_in_a_path_is_refused(client: TestClient, name: str) -> None:
    response = client.post(f"/projects/{name}/up")
    assert response.status_code in (404, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_unknown_route_is_a_problem(client: TestClient) -> None:
    response = client.get("/nope")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_wrong_method_keeps_the_allow_header(client: TestClient) -> None:
    response = client.get("/execute")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == "application/problem+json"


def test_timeout_over_the_project_limit_is_422_with_the_maximum(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "airlock.yaml"
    config.write_text("projects: {p: {backend: mock, limits: {timeout: 30}}}\n")
    monkeypatch.setenv("AIRLOCK_CONFIG", str(config))
    client = TestClient(create_app())
    response = client.post("/execute", json={"project": "p", "code": "x", "timeout": 31})
    assert response.status_code == 422
    assert "30" in response.json()["detail"]
    assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202


def test_app_serves_again_after_its_lifespan_ended(client: TestClient) -> None:
    with TestClient(app) as served:
        assert served.post("/execute", json={"project": "p", "code": "x"}).status_code == 202
    assert client.post("/execute", json={"project": "p", "code": "x"}).status_code == 202


def test_the_shipped_configuration_serves_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_CONFIG", str(Path(__file__).parents[1] / "airlock.yaml"))
    client = TestClient(create_app())
    created = client.post("/execute", json={"project": "mock-project", "code": "x"}).json()
    assert client.get(f"/executions/{created['execution_id']}").json()["status"] == "completed"
    projects = {p["name"]: p for p in client.get("/projects").json()["projects"]}
    assert projects["mock-project"]["idle_workers"] == 1
    assert (projects["python"]["status"], projects["python"]["detail"]) == ("down", "server not started")
    refused = client.post("/execute", json={"project": "python", "code": "print(1)"})
    assert (refused.status_code, refused.json()["code"]) == (409, "project_down")


def test_openapi_is_served(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/execute", "/executions/{execution_id}", "/executions/{execution_id}/respond", "/projects"} <= set(paths)


def test_wait_on_post_answers_with_the_execution(served: TestClient) -> None:
    response = served.post("/execute?wait=10", json={"project": "p", "code": "x"})
    assert response.status_code == 200
    assert response.json()["result"] == {"echo": "x"}
    assert response.headers["location"] == f"/executions/{response.json()['execution_id']}"


def test_wait_answers_when_an_answer_is_awaited(served: TestClient) -> None:
    paused = served.post("/execute?wait=10", json={"project": "p", "code": code_that_asks("?")})
    assert (paused.status_code, paused.json()["status"]) == (200, "awaiting_llm")
    url = f"/executions/{paused.json()['execution_id']}"
    again = served.get(url, params={"wait": 10}).json()
    assert (again["version"], again["llm_request"]) == (paused.json()["version"], paused.json()["llm_request"])


def test_wait_since_the_known_version_ends_at_the_time_limit(served: TestClient) -> None:
    paused = served.post("/execute?wait=10", json={"project": "p", "code": code_that_asks("?")}).json()
    url = f"/executions/{paused['execution_id']}"
    unchanged = served.get(url, params={"wait": 0.2, "since": paused["version"]})
    assert (unchanged.status_code, unchanged.json()["version"]) == (200, paused["version"])
    served.post(f"{url}/respond", json={"response": "!"})
    changed = served.get(url, params={"wait": 10, "since": paused["version"]}).json()
    assert changed["version"] > paused["version"]
    assert changed["status"] == "completed"


@pytest.mark.parametrize(
    "query", ["wait=-1", "wait=31", "wait=nan", "wait=inf", "wait=x", "wait=1&since=-1", "wait=1&since=x"]
)
def test_bad_wait_is_422(client: TestClient, query: str) -> None:
    response = client.get(f"/executions/x?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"].startswith("query.")
