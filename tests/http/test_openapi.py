"""The OpenAPI document, compared with the responses of a real server."""

import hashlib
import time
from collections.abc import Callable, Iterator
from importlib.metadata import metadata
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis

KEY = "correct horse"
SHA256 = hashlib.sha256(KEY.encode()).hexdigest()
OPEN = """
projects:
  p: {backend: scripted, replicas: 2}
  mock-project: {backend: mock}
  full: {backend: scripted, limits: {queue: 1}}
  broken: {backend: {type: scripted, unavailable: no daemon.}}
  down: {backend: scripted, replicas: 0}
"""
KEYED = f"""
server:
  keys:
  - {{name: fast, sha256: {SHA256}, rate: 1/hour}}
projects:
  mock-project: {{backend: mock}}
"""


@pytest.fixture(scope="module")
def api(serve_all: Callable[..., Any]) -> Iterator[httpx.Client]:
    """A server without keys, for this machine only."""
    with httpx.Client(base_url=serve_all(OPEN).url, timeout=30) as client:
        while client.get("/projects").json()["projects"][0]["status"] != "up":
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="module")
def keyed(serve_all: Callable[..., Any]) -> Iterator[httpx.Client]:
    """A server with a key."""
    url = serve_all(KEYED).url.replace("0.0.0.0", "127.0.0.1")
    with httpx.Client(base_url=url, timeout=30, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture(scope="module")
def document(api: httpx.Client) -> dict[str, Any]:
    made: dict[str, Any] = api.get("/openapi.json").json()
    return made


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for path in document["paths"].values() for each in path.values()}


def check(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    checked = {**schema, "components": document["components"]}
    jsonschema.validate(value, checked, jsonschema.Draft202012Validator, format_checker=jsonschema.FormatChecker())


def events_of(stream: str) -> list[dict[str, str]]:
    blocks = [block for block in stream.split("\n\n") if "data: " in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


class Journey:
    """Sends requests, and compares each response with the documented ones."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._operations = operations(document)
        self.reached: set[tuple[str, str]] = set()

    def answer(self, operation: str, answer: httpx.Response, status: int) -> httpx.Response:
        assert answer.status_code == status, answer.text
        documented = self._operations[operation]["responses"][str(status)]
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if answer.content:
            content = documented["content"][media_type]
            for item in events_of(answer.text) if media_type == "text/event-stream" else [answer.json()]:
                check(self._document, content["schema"], item)
        if media_type == "application/problem+json":
            assert answer.json()["code"] in content["examples"]
        for name, header in documented["headers"].items():
            assert not header.get("required") or answer.headers[name]
        assert set(answer.headers) & {"location", "retry-after"} <= {name.lower() for name in documented["headers"]}
        assert answer.headers["x-request-id"]
        self.reached.add((operation, str(status)))
        return answer


def test_every_answer_is_documented_and_every_documented_one_but_faults_is_reached(
    api: httpx.Client, keyed: httpx.Client, document: dict[str, Any]
) -> None:
    journey = Journey(document)
    answer = journey.answer
    foreign, strange = {"Origin": "https://evil.example"}, {"Authorization": "Bearer nope"}
    code = {"project": "p", "code": "result 1"}
    path = answer("execute", api.post("/execute", json=code), 202).headers["location"]
    asks = {"project": "p", "code": "ask a\nask b"}
    asking = answer("execute", api.post("/execute?wait=20", json=asks), 200).headers["location"]
    slow = {"project": "full", "code": "sleep 60"}
    running = answer("execute", api.post("/execute?wait=0.1", json=slow), 202).headers["location"]
    waiting = api.post("/execute", json=slow).headers["location"]

    for operation, method, url, body in (
        ("execute", "POST", "/execute", code),
        ("list_executions", "GET", "/executions", None),
        ("get_execution", "GET", path, None),
        ("get_events", "GET", f"{path}/events", None),
        ("respond", "POST", f"{path}/respond", {"response": "x"}),
        ("cancel", "POST", f"{path}/cancel", None),
        ("list_projects", "GET", "/projects", None),
        ("project_up", "POST", "/projects/p/up", {"replicas": 2}),
        ("project_down", "POST", "/projects/p/down", None),
    ):
        answer(operation, keyed.request(method, url, json=body, headers=strange), 401)
        answer(operation, api.request(method, url, json=body, headers=foreign), 403)
        if body is not None:
            json = {"Content-Type": "application/json"}
            answer(operation, api.request(method, url, content=b"{", headers=json), 400)
            answer(operation, api.request(method, url, content=b" " * (17 << 20), headers=json), 413)
            answer(operation, api.request(method, url, content=b"{}"), 415)
            answer(operation, api.request(method, url, json={**body, "oops": 1}), 422)

    answer("execute", api.post("/execute", json={**code, "project": "nope"}), 404)
    answer("execute", api.post("/execute", json={**code, "project": "down"}), 409)
    answer("execute", api.post("/execute", json=slow), 503)
    mock = {"project": "mock-project", "code": "x"}
    answer("execute", keyed.post("/execute", json=mock), 202)
    answer("execute", keyed.post("/execute", json=mock), 429)
    answer("list_executions", api.get("/executions", params={"limit": 1}), 200)
    answer("list_executions", api.get("/executions", params={"cursor": "?"}), 422)
    answer("get_execution", api.get(path, params={"wait": 20}), 200)
    answer("get_execution", api.get(f"{path}0"), 404)
    answer("get_execution", api.get(path, params={"wait": 31}), 422)
    events = answer("get_events", api.get(f"{path}/events"), 200).text
    last = events.rpartition("id: ")[2].strip()
    answer("get_events", api.get(f"{path}/events", headers={"Last-Event-ID": last}), 204)
    answer("get_events", api.get(f"{path}/events", headers={"Last-Event-ID": "?"}), 422)
    answer("get_events", api.get(f"{path}0/events"), 404)
    answer("respond", api.post(f"{asking}/respond", json={"response": "x"}), 200)
    answer("respond", api.post(f"{asking}0/respond", json={"response": "x"}), 404)
    answer("respond", api.post(f"{path}/respond", json={"response": "x"}), 409)
    answer("respond", api.post(f"{asking}/respond", json={"request_id": 1, "response": "y"}), 409)
    for cancelled in (waiting, running, asking, path):
        answer("cancel", api.post(f"{cancelled}/cancel"), 200)
    answer("cancel", api.post(f"{path}0/cancel"), 404)
    answer("cancel", api.post(f"/executions/{'x' * 65}/cancel"), 422)
    answer("list_projects", api.get("/projects"), 200)
    answer("project_up", api.post("/projects/p/up", json={"replicas": 2}), 200)
    answer("project_up", api.post("/projects/nope/up"), 404)
    answer("project_up", api.post("/projects/broken/up"), 503)
    answer("project_down", api.post("/projects/down/down"), 200)
    answer("project_down", api.post("/projects/nope/down"), 404)
    answer("project_down", api.post("/projects/-/down"), 422)
    answer("health", api.get("/health"), 200)
    answer("ready", api.get("/ready"), 503)
    answer("ready", keyed.get("/ready"), 200)

    documented = {(name, status) for name, each in operations(document).items() for status in each["responses"]}
    broken_store = {(name, "503") for name in ("list_executions", "get_execution", "get_events", "respond", "cancel")}
    assert documented - journey.reached == broken_store | {(name, "500") for name in operations(document)}


def test_it_is_valid_openapi_with_what_the_package_says(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    package = metadata("airlock-core")
    assert document["info"]["version"] == package["Version"]
    assert document["info"]["license"] == {"name": "Apache-2.0", "identifier": package["License-Expression"]}


def test_operation_ids_are_short_and_stable(document: dict[str, Any]) -> None:
    """Operation ids become method names in generated clients: renaming one breaks its users."""
    assert set(operations(document)) >= {
        *("execute", "list_executions", "get_execution", "get_events", "respond", "cancel"),
        *("list_projects", "project_up", "project_down", "health", "ready"),
    }


def test_links_lead_to_operations_with_parameters_of_theirs(document: dict[str, Any]) -> None:
    found = operations(document)
    links = [
        link
        for each in found.values()
        for answer in each["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert {"get_execution", "respond", "cancel", "list_executions"} <= {link["operationId"] for link in links}
    for link in links:
        assert set(link["parameters"]) <= {each["name"] for each in found[link["operationId"]]["parameters"]}


def test_every_model_and_every_body_has_examples_that_are_valid(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        assert schema["examples"]
        for example in schema["examples"]:
            check(document, schema, example)
    for operation in operations(document).values():
        for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
            for media_type, content in holder.get("content", {}).items():
                assert content["examples"], media_type
                for example in content["examples"].values():
                    is_stream = media_type == "text/event-stream"
                    for item in events_of(example["value"]) if is_stream else [example["value"]]:
                        check(document, content["schema"], item)


def test_every_example_of_a_request_is_accepted(api: httpx.Client, document: dict[str, Any]) -> None:
    def examples(operation: str) -> list[Any]:
        content = operations(document)[operation]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    for body in examples("execute"):
        assert api.post("/execute", json=body).status_code == 202
    for body in examples("respond"):
        path = api.post("/execute?wait=20", json={"project": "p", "code": "ask a|b"}).headers["location"]
        shown = api.get(path).json()
        while len(shown["llm_requests"]) < 2:
            shown = api.get(path, params={"wait": 20, "since": shown["version"]}).json()
        assert api.post(f"{path}/respond", json=body).status_code == 200
        api.post(f"{path}/cancel")
    for body in examples("project_up"):
        assert api.post("/projects/mock-project/up", json=body).status_code == 200
    for operation in operations(document).values():
        for parameter in operation.get("parameters", []):
            for example in parameter["schema"].get("examples", []):
                check(document, parameter["schema"], example)


def test_it_says_whether_a_key_is_needed(keyed: httpx.Client, document: dict[str, Any]) -> None:
    assert keyed.get("/openapi.json").json()["security"] == [{"key": []}]
    assert document["security"] == [{"key": []}, {}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert [name for name, each in operations(document).items() if each.get("security") == []] == ["health", "ready"]


def test_nothing_of_the_framework_is_left_in_it(document: dict[str, Any]) -> None:
    assert "ValidationError" not in str(document["components"])


def test_the_page_that_shows_it_needs_nothing_from_elsewhere(api: httpx.Client, keyed: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!--", "").replace("// ", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/assets/{asset}" in page.text
        assert len(api.get(f"/docs/assets/{asset}").content) > 1000
    nothing = api.get("/docs/assets/nope.js")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    for path in ("/docs", "/docs/assets/swagger-ui-bundle.js"):
        assert keyed.get(path, headers={"Authorization": ""}).status_code == 401
        assert api.get(path, headers={"Host": "evil.example"}).status_code == 403
