"""Bodies within their size that would cost much more than that: they are refused at once, with a short answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airlock.api import app


@pytest.fixture
def api() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def post(api: TestClient, path: str, body: str) -> Any:
    return api.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("item", ["[]", "{}", "1", '"x"', '{"a":[]}', r'"\\"'])
def test_more_values_than_anybody_sends_are_400(api: TestClient, item: str) -> None:
    many = ",".join([item] * 1_000_000)
    answer = post(api, "/execute", f'{{"project":"p","code":"x","memory":{{"a.b":[{many}]}}}}')
    assert answer.status_code == 400
    assert "more than 200000 values" in answer.json()["detail"]


def test_what_only_looks_like_values_passes(api: TestClient) -> None:
    body = json.dumps({"project": "p", "code": '[{,\\"' * 300_000})
    assert post(api, "/execute", body).status_code == 202


MANY = dict.fromkeys(map(str, range(90_000)), 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/executions/x/respond", {"responses": [[]] * 90_000}),
        ("/execute", {"project": "p", "code": "x", "settings": MANY}),
        ("/execute", {"project": "p", "code": "x", **MANY}),
        ("/execute", {"project": "p", "code": "x", "settings": dict.fromkeys(map(str, range(900)), 1)}),
    ],
)
def test_a_body_of_mistakes_is_answered_with_a_few(api: TestClient, path: str, body: dict[str, Any]) -> None:
    answer = post(api, path, json.dumps(body))
    assert answer.status_code == 422
    assert 1 <= len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 20_000
