"""The id of every request: in each response, in problems, and in the log."""

import io
import logging
import re

import pytest
from fastapi.testclient import TestClient

from airlock.api import app, create_app
from airlock.logs.formats import PlainFormatter


@pytest.mark.parametrize("path", ["/health", "/ready", "/projects", "/nowhere", "/docs", "/executions/x"])
def test_every_response_carries_an_id_of_its_own(path: str) -> None:
    client = TestClient(app)
    first, second = (client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_a_problem_shows_the_id_of_its_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRLOCK_API_KEY", "k")
    client = TestClient(create_app())
    for path in ("/projects", "/nowhere"):
        response = client.get(path)
        assert response.json()["request_id"] == response.headers["x-request-id"]


def test_an_id_that_a_proxy_sent_is_kept() -> None:
    assert TestClient(app).get("/health", headers={"X-Request-ID": "a.b_C-1"}).headers["x-request-id"] == "a.b_C-1"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "a\tb", "a=b", "\xe9"])
def test_an_id_that_could_be_misread_is_replaced(sent: str) -> None:
    response = TestClient(app).get("/health", headers={"X-Request-ID": sent.encode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_a_fault_is_logged_under_the_id_that_the_client_was_told() -> None:
    faulty = create_app()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter())
    logging.getLogger("airlock.http.problems").addHandler(handler)
    try:
        faulty.get("/fault")(lambda: 1 / 0)
        response = TestClient(faulty, raise_server_exceptions=False).get("/fault")
    finally:
        logging.getLogger("airlock.http.problems").removeHandler(handler)
    assert response.status_code == 500
    assert response.json()["request_id"] == response.headers["x-request-id"]
    first = stream.getvalue().splitlines()[0]
    assert first.endswith(f"GET /fault failed request_id={response.headers['x-request-id']}")
    assert "    | ZeroDivisionError" in stream.getvalue()
